"""The pointer: one JSON value that says which index is live. Its stores are elsewhere. No I/O, except by the store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from airflow_provider_vectorize import parameters
from airflow_provider_vectorize.errors import ConfigError, SwitchOverError

Kind = Literal["kv", "variable", "object"]

_KV = re.compile(r"kv://([^/]*)/(.+)", re.DOTALL)
_VARIABLE = re.compile(r"variable://(.+)", re.DOTALL)
_NAME = re.compile(r"[!-~]+")
_NAMESPACE_ID = re.compile(r"[0-9a-f]{32}")
#: Maximum length of a key of Workers KV in bytes (docs, "Write key-value pairs").
_KEY_BYTES = 512


@dataclass(frozen=True)
class PointerName:
    """Where a pointer is stored, as its URI says.

    :param kind: ``kv``, ``variable`` or ``object``.
    :param name: Key in Workers KV, name of the Airflow Variable, or URI of the object.
    :param namespace_id: Namespace in Workers KV. Empty for the others.
    """

    kind: Kind
    name: str
    namespace_id: str = ""


@dataclass(frozen=True)
class Pointer:
    """What a pointer says.

    :param index: Index that readers use.
    :param previous: Index that was live before and can be published again. ``None`` if there is none.
    :param published_at: Time of the publication.
    :param model: Embedding model of the index, or ``None`` if its mark names none.
    """

    index: str
    previous: str | None
    published_at: datetime
    model: str | None = None

    def to_json(self) -> bytes:
        """Return the value that is stored."""
        value = {
            "index": self.index,
            "previous": self.previous,
            "published_at": self.published_at.astimezone(UTC).isoformat(),
            "model": self.model,
        }
        return json.dumps(value, ensure_ascii=False).encode()


class PointerStore(Protocol):
    """Reads and writes one pointer. A write is atomic: readers see the old or the new value."""

    @property
    def uri(self) -> str:
        """URI that identifies the pointer in the marks of indexes. It names no connection."""
        ...

    def read(self) -> bytes | None:
        """Return the stored value. ``None`` means that it does not exist. All other failures raise."""
        ...

    def write(self, value: bytes, check: Callable[[], None]) -> None:
        """Create or replace the value.

        :param check: Called right before each attempt. If it raises, nothing is written.
        """
        ...


def parse_pointer_name(name: str, value: Any) -> PointerName:
    """Return where a pointer is stored.

    :param name: Name of the parameter, for errors.
    :param value: ``kv://NAMESPACE_ID/KEY``, ``variable://NAME``, or the path or URI of an object.
    :raises ConfigError: The value is none of these.
    """
    uri = parameters.path(name, value)
    if variable := _VARIABLE.fullmatch(uri):
        return PointerName("variable", variable[1])
    if not uri.startswith(("kv:", "variable:")):
        return PointerName("object", uri)
    match = _KV.fullmatch(uri)
    if not match:
        raise ConfigError(f"{name} must look like kv://NAMESPACE_ID/KEY or variable://NAME, not {uri!r}.")
    namespace_id, key = match[1].lower(), match[2]
    if not _NAMESPACE_ID.fullmatch(namespace_id):
        raise ConfigError(
            f"{name} must name the namespace of Workers KV by its ID of 32 hexadecimal digits, not by {match[1]!r}."
        )
    if key in (".", "..") or len(key.encode()) > _KEY_BYTES:
        raise ConfigError(
            f"{name} must have a key of at most {_KEY_BYTES} bytes that is neither . nor .., not {key!r}."
        )
    return PointerName("kv", key, namespace_id)


def parse_pointer(content: bytes, uri: str) -> Pointer:
    """Return what a stored value says.

    :param uri: URI of the pointer, for errors.
    :raises SwitchOverError: The value is not a pointer, so nothing tells which index is live.
    """
    try:
        value = json.loads(content)
        index, previous, model = value["index"], value.get("previous"), value.get("model")
        published_at = datetime.fromisoformat(value["published_at"])
        texts = [index, *(text for text in (previous, model) if text is not None)]
        names = [name for name in (index, previous) if name is not None]
        if not all(isinstance(text, str) and text for text in texts) or published_at.tzinfo is None:
            raise ValueError(texts)
        if not all(_NAME.fullmatch(name) for name in names):  # For instance, a line feed at its end.
            raise ValueError(names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SwitchOverError(
            f"The pointer {uri} cannot be read, so which index is live is unknown. Nothing was changed. It must be a "
            'JSON object such as {"index": "docs-a", "previous": null, "published_at": "2026-01-31T02:00:00+00:00", '
            '"model": null}. Correct it where it is stored.',
            pointer=uri,
        ) from None
    return Pointer(index, previous, published_at, model)


def read_pointer(store: PointerStore) -> Pointer | None:
    """Read the pointer. ``None`` means that nothing was published yet.

    :raises SwitchOverError: The stored value is not a pointer.
    """
    content = store.read()
    return None if content is None else parse_pointer(content, store.uri)
