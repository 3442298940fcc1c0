"""What stores and their libraries raise, as one sentence that names the object and keeps what was really said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from airflow_provider_vectorize.errors import SourceError, VectorizeError
from airflow_provider_vectorize.storage.names import visible
from airflow_provider_vectorize.storage.store import Changed, Missing

#: What is kept of a store's own sentence.
_SAID_CHARACTERS = 300
_CHANGED = ("PreconditionFailed", "412", "ConditionNotMet")
_MISSING = (
    "NoSuchKey",
    "NoSuchVersion",
    "NoSuchBucket",
    "404",
    "BlobNotFound",
    "ContainerNotFound",
    "ResourceNotFound",
)
_PAST_THE_END = ("InvalidRange", "416")
#: What a store's code means for the person who reads it. The store's own sentence follows.
_MEANINGS = {
    ("InvalidObjectState", "BlobArchived", "BlobBeingRehydrated"): (
        "{uri} is archived and has to be restored before it can be read."
    ),
    ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"): (
        "{uri} cannot be read: the credentials of the storage's connection have expired. Renew them."
    ),
    ("RequestTimeTooSkewed",): "{uri} cannot be read: the clock of this machine is wrong. Correct it.",
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed", "InvalidSecurity"): (
        "{uri} cannot be read: the storage refuses the credentials of the connection. Correct them."
    ),
    ("NoSuchBucket", "ContainerNotFound"): "There is no bucket for {uri}.",
    ("403", "401", "AccessDenied", "Forbidden", "AuthorizationPermissionMismatch", "AuthorizationFailure"): (
        "{uri} may not be read: check the storage's connection and its permissions."
    ),
}
_BY_CODE = {code: text for codes, text in _MEANINGS.items() for code in codes}
_NO_KEY = (
    "{uri} cannot be read: it is encrypted with a key that is not available to the storage's connection. Allow the "
    "connection to decrypt with it."
)


class Said(NamedTuple):
    """What a store answered.

    :param code: its own, or the HTTP status as text; empty if the error is not an answer of a store.
    :param message: its sentence.
    :param status: the HTTP status, or 0.
    """

    code: str
    message: str
    status: int = 0

    @property
    def is_missing(self) -> bool:
        """Whether there is no such object."""
        return self.code in _MISSING or self.status == 404

    @property
    def is_changed(self) -> bool:
        """Whether the object is not the one that was asked for."""
        return self.code in _CHANGED or self.status == 412

    @property
    def is_past_the_end(self) -> bool:
        """Whether the object ends before the range that was asked for."""
        return self.code in _PAST_THE_END or self.status == 416


class StoreAnswerError(Exception):
    """An error status of a store that is asked without a library.

    :param status: of HTTP.
    :param code: the store's own.
    :param message: its sentence.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code} {message}".strip())
        self.said = Said(code or str(status), message, status)


def said(error: BaseException | None) -> Said:
    """What a store answered, wherever in the chain of causes it is kept."""
    while error is not None:
        if isinstance(error, StoreAnswerError):
            return error.said
        response = getattr(error, "response", None)
        if isinstance(response, dict) and isinstance(response.get("Error"), dict):  # botocore's
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0
            return Said(str(response["Error"].get("Code", "")), str(response["Error"].get("Message", "")), int(status))
        status = getattr(error, "status_code", None)
        if _library(error) == "azure" and (status or getattr(error, "error_code", None)):
            code = getattr(error, "error_code", None)
            message = str(getattr(error, "message", "")).split("\n", 1)[0]
            return Said(str(getattr(code, "value", code) or status), message, int(status or 0))
        if _library(error) == "gcsfs" and getattr(error, "code", None):
            code = str(error.code)  # type: ignore[attr-defined]
            return Said(code, str(getattr(error, "message", "")), int(code) if code.isdigit() else 0)
        if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # gcsfs keeps no status
            return Said("403", str(error).partition("\n")[2], 403)
        error = error.__cause__
    return Said("", "")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn whatever a store or its library raises into one sentence.

    :param uri: the object's, for people.
    :raises SourceError: for anything that is no error of ours.
    """
    try:
        yield
    except VectorizeError:
        raise
    except Exception as error:
        raise SourceError(sentence(error, uri), uri=uri) from error


def sentence(error: Exception, uri: str) -> str:
    """What happened, to which object, and what to do."""
    answer = said(error)
    if isinstance(error, Changed) or answer.is_changed:
        return f"{uri} changed while it was read. Load it again when it is no longer being written."
    if isinstance(error, Missing):
        return f"There is no object {uri}."
    if answer.code:
        return f"{_meaning(answer)}{{what}}".format(uri=uri, what=_quoted(": ".join(filter(None, answer[:2]))))
    if isinstance(error, PermissionError):
        return f"{_BY_CODE['403']}{{what}}".format(uri=uri, what=_quoted(_text(error)))
    if type(error).__name__ == "NoCredentialsError":
        return f"{uri} cannot be read without credentials: name the storage's connection, for instance in the URI."
    return f"{uri} cannot be read: {_text(error)}."


def _meaning(answer: Said) -> str:
    if "kms" in f"{answer.code} {answer.message}".lower():
        return _NO_KEY
    if text := _BY_CODE.get(answer.code):
        return text
    if answer.is_missing:
        return "There is no object {uri}."
    return _BY_CODE["403"] if answer.status in (401, 403) else "{uri} cannot be read."


def _quoted(text: str) -> str:
    text = visible(" ".join(text.split()))[:_SAID_CHARACTERS].rstrip(".")
    return f" The storage says: {text}." if text else ""


def _text(error: Exception) -> str:
    """What an error says, with its file and its kind where they help."""
    text = getattr(error, "strerror", None) or str(error)
    name = getattr(error, "filename", None)
    kind = "" if isinstance(error, OSError) and text else f"{type(error).__name__}: " if text else type(error).__name__
    text = visible(" ".join(f"{kind}{text}".split()))[:_SAID_CHARACTERS].rstrip(".")
    return f"{text}: {visible(str(name))}" if name and isinstance(error, OSError) else text


def _library(error: Any) -> str:
    return str(type(error).__module__).split(".", maxsplit=1)[0]
