"""Derive what a load needs to know of its source: names, a fingerprint, and the share before a position."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from airflow_provider_vectorize.sources.compression import is_compressed
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.parts import object_offset
from airflow_provider_vectorize.sources.source_object import SourceObject


@dataclass(frozen=True)
class LoadSource:
    """The objects of a load, in the order of the source."""

    objects: Sequence[SourceObject]

    @cached_property
    def uris(self) -> list[str]:
        """Return the URI of each object."""
        return [source_object.uri for source_object in self.objects]

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest that changes whenever an object is replaced, added, removed or modified."""
        lines = "\n".join(f"{source_object.identity}\t{source_object.version}" for source_object in self.objects)
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """Return the URI of the first object and the number of further objects."""
        return self.uris[0] + (f" and {len(self.uris) - 1} more" if len(self.uris) > 1 else "")

    def describe(self, position: Position) -> str:
        """Return a position as text: ``line 6 of s3://bucket/key.ndjson (byte 35)``."""
        uri = self.uris[position.object]
        return f"line {position.line:,} of {uri} (byte {object_offset(uri, position.offset):,})"

    def share_before(self, position: Position) -> float | None:
        """Return the share of the source's stored bytes before a position, or ``None`` if a size is not known.

        A compressed object counts when it is complete, because positions in it do not tell its stored bytes.
        """
        sizes = [source_object.size for source_object in self.objects]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) or not sum(known):
            return None
        before = sum(known[: position.object])
        current = self.objects[position.object] if position.object < len(self.objects) else None
        if current and not is_compressed(current.key, current.encoding):
            before += min(position.offset, known[position.object])
        return before / sum(known)
