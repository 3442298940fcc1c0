"""Convert what stores and their client libraries raise into one sentence that names the object and quotes the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from airflow_provider_vectorize.errors import SourceError, VectorizeError
from airflow_provider_vectorize.storage.names import Location, printable
from airflow_provider_vectorize.storage.store import ObjectChanged, ObjectMissing

#: Maximum number of characters quoted from a store's or a library's message.
_QUOTED_CHARACTERS = 300
_CHANGED_CODES = ("PreconditionFailed", "412", "ConditionNotMet")
_MISSING_CODES = (
    "NoSuchKey",
    "NoSuchVersion",
    "NoSuchBucket",
    "404",
    "BlobNotFound",
    "ContainerNotFound",
    "ResourceNotFound",
)
_PAST_THE_END_CODES = ("InvalidRange", "416")
#: Messages for the error codes of stores. The store's own message is appended.
_MESSAGES = {
    ("InvalidObjectState", "BlobArchived", "BlobBeingRehydrated"): (
        "{uri} is archived and has to be restored before it can be read."
    ),
    ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"): (
        "{uri} cannot be read: the credentials of the storage connection have expired. Renew them."
    ),
    ("RequestTimeTooSkewed",): "{uri} cannot be read: the clock of this machine is wrong. Correct it.",
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed", "InvalidSecurity"): (
        "{uri} cannot be read: the storage refuses the credentials of the connection. Correct them."
    ),
    ("NoSuchBucket", "ContainerNotFound"): (
        "The bucket of {uri} does not exist. Correct its name, or check the endpoint of the storage connection."
    ),
    ("403", "401", "AccessDenied", "Forbidden", "AuthorizationPermissionMismatch", "AuthorizationFailure"): (
        "{uri} cannot be read: permission denied. Check the storage connection and its permissions."
    ),
}
_MESSAGE_BY_CODE = {code: message for codes, message in _MESSAGES.items() for code in codes}
_KEY_UNAVAILABLE = (
    "{uri} cannot be read: it is encrypted with a key that the storage connection cannot use. Allow the connection to "
    "decrypt with this key."
)


class StoreFailure(NamedTuple):
    """An error response of a store.

    :param code: The store's error code, or the HTTP status as text. Empty if no store responded.
    :param message: The store's message.
    :param status: HTTP status, or 0 if unknown.
    """

    code: str
    message: str
    status: int = 0

    @property
    def is_missing(self) -> bool:
        """Whether the object does not exist."""
        return self.code in _MISSING_CODES or self.status == 404

    @property
    def is_changed(self) -> bool:
        """Whether the object has another version than the requested one."""
        return self.code in _CHANGED_CODES or self.status == 412

    @property
    def is_past_the_end(self) -> bool:
        """Whether the object ends before the requested range."""
        return self.code in _PAST_THE_END_CODES or self.status == 416


class StoreResponseError(Exception):
    """An error response of a store to a request that the provider sent without the store's client library.

    :param status: HTTP status.
    :param code: The store's error code, or empty.
    :param message: The store's message.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code} {message}".strip())
        self.failure = StoreFailure(code or str(status), message, status)


def store_failure(error: BaseException | None) -> StoreFailure:
    """Return a store's error response, from wherever the library keeps it in the chain of causes.

    The result is empty (code ``""``, status 0) if the error is not the response of a store.
    """
    while error is not None:
        if isinstance(error, StoreResponseError):
            return error.failure
        response = getattr(error, "response", None)
        if isinstance(response, dict) and isinstance(response.get("Error"), dict):  # botocore's ClientError
            details = response["Error"]
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0
            return StoreFailure(str(details.get("Code", "")), str(details.get("Message", "")), int(status))
        status = getattr(error, "status_code", None)
        if _library(error) == "azure" and (status or getattr(error, "error_code", None)):
            code = getattr(error, "error_code", None)
            message = str(getattr(error, "message", "")).split("\n", 1)[0]
            return StoreFailure(str(getattr(code, "value", code) or status), message, int(status or 0))
        if _library(error) == "gcsfs" and getattr(error, "code", None):
            code = str(error.code)  # type: ignore[attr-defined]
            return StoreFailure(code, str(getattr(error, "message", "")), int(code) if code.isdigit() else 0)
        if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # gcsfs drops the status here
            return StoreFailure("403", str(error).partition("\n")[2], 403)
        error = error.__cause__
    return StoreFailure("", "")


def not_found_error(location: Location, text: str) -> SourceError:
    """Return an error about a source that does not exist.

    :param location: The object, pattern or folder.
    :param text: What was not found. What to do is added.
    """
    where = " Files must be on the worker that runs the task." if location.is_local else ""
    text += " Correct the name, or check whether the job that writes it has run."
    return SourceError(text + where, uri=location.uri)


@contextmanager
def raise_storage_errors(uri: str) -> Iterator[None]:
    """Convert every error of a store or its library into a :class:`SourceError` with one clear message.

    :param uri: URI of the object, for the message.
    :raises SourceError: The block raised an error that is not one of the provider's.
    """
    try:
        yield
    except VectorizeError:
        raise
    except Exception as error:
        raise SourceError(error_message(error, uri), uri=uri) from error


def error_message(error: Exception, uri: str) -> str:
    """Return what happened to which object, and what to do."""
    failure = store_failure(error)
    if isinstance(error, ObjectChanged) or failure.is_changed:
        return f"{uri} changed while it was read. Load it again when it is no longer being written."
    if isinstance(error, ObjectMissing):
        return f"There is no object {uri}. It was deleted after the task found it: write it again."
    if failure.code:
        details = _quoted_store_message(": ".join(filter(None, failure[:2])))
        return f"{_message_template(failure)}{{details}}".format(uri=uri, details=details)
    if isinstance(error, PermissionError):
        details = _quoted_store_message(_library_message(error))
        return f"{_MESSAGE_BY_CODE['403']}{{details}}".format(uri=uri, details=details)
    if type(error).__name__ == "NoCredentialsError":
        return f"{uri} cannot be read without credentials: name the storage connection, for instance in the URI."
    return f"{uri} cannot be read: {_library_message(error)}."


def _message_template(failure: StoreFailure) -> str:
    if "kms" in f"{failure.code} {failure.message}".lower():
        return _KEY_UNAVAILABLE
    if template := _MESSAGE_BY_CODE.get(failure.code):
        return template
    if failure.is_missing:
        return "There is no object {uri}. Correct its name, or write it again."
    return _MESSAGE_BY_CODE["403"] if failure.status in (401, 403) else "{uri} cannot be read."


def _quoted_store_message(text: str) -> str:
    text = printable(" ".join(text.split()))[:_QUOTED_CHARACTERS].rstrip(".")
    return f" The storage reported: {text}." if text else ""


def _library_message(error: Exception) -> str:
    """Return the error's message, with its type and file name where they help to understand it."""
    text = getattr(error, "strerror", None) or str(error)
    name = getattr(error, "filename", None)
    kind = "" if isinstance(error, OSError) and text else f"{type(error).__name__}: " if text else type(error).__name__
    text = printable(" ".join(f"{kind}{text}".split()))[:_QUOTED_CHARACTERS].rstrip(".")
    return f"{text}: {printable(str(name))}" if name and isinstance(error, OSError) else text


def _library(error: Any) -> str:
    return str(type(error).__module__).split(".", maxsplit=1)[0]
