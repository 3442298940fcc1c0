"""Derive what a load needs to know of its source: names, a fingerprint, and the share before a position."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_provider_vectorize.rows.reader import RowReader
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.source_object import SourceObject


@dataclass(frozen=True)
class LoadSource:
    """The objects of a load, and how they are read.

    :param objects: The objects, in the order of the source.
    :param reader: Reads objects of their format.
    """

    objects: Sequence[SourceObject]
    reader: RowReader

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

    def place(self, position: Position) -> str:
        """Name a row at the beginning of a sentence: ``Line 6 of s3://bucket/key.ndjson (byte 35)``."""
        return self.reader.place(self.uris[position.object], position)

    def label(self, position: Position) -> str:
        """Name a row within a sentence: ``line 6 of s3://bucket/key.ndjson``."""
        return self.reader.label(self.uris[position.object], position)

    def dead_letter_keys(self, position: Position) -> dict[str, Any]:
        """Return what a dead letter says of the place of its row."""
        uri = self.uris[position.object]
        return {"object": uri, **self.reader.dead_letter_keys(uri, position)}

    def share_before(self, position: Position) -> float | None:
        """Return the share of the source's stored bytes before a position, or ``None`` if a size is not known."""
        sizes = [source_object.size for source_object in self.objects]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) or not sum(known):
            return None
        before = sum(known[: position.object])
        if position.object < len(self.objects):
            before += self.reader.stored_bytes_before(self.objects[position.object], position)
        return before / sum(known)
