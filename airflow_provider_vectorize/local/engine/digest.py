"""Digest of a vector, to compare the dump of an index with its source."""

from __future__ import annotations

import hashlib
import json
from typing import Protocol


class _Vector(Protocol):
    @property
    def namespace(self) -> str | None: ...
    @property
    def metadata(self) -> bytes | None: ...
    @property
    def values(self) -> bytes | None: ...


def digest(vector: _Vector) -> str:
    """Return the SHA-256 digest of the float32 values, the namespace and the metadata of a vector."""
    metadata = None if vector.metadata is None else json.loads(vector.metadata)
    return digest_of(vector.values or b"", vector.namespace, metadata)


def digest_of(float32_values: bytes, namespace: str | None, metadata: object) -> str:
    """Return the SHA-256 digest of little-endian float32 bytes, NUL, namespace, NUL and metadata.

    Metadata is compact JSON with sorted keys. A missing namespace or missing metadata contributes no bytes.
    """
    text = ""
    if metadata is not None:
        text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(b"\0".join((float32_values, (namespace or "").encode(), text.encode()))).hexdigest()
