"""A line → checked. Only what Vectorize is known to refuse is refused here; it has the last word on the rest."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.load.lines import BOM, Block, Mark

_NULL = msgspec.Raw(b"null")


class Row(msgspec.Struct):
    """One line of ndjson, as far as it is looked at. Other keys are left to Vectorize."""

    id: str
    values: list[float]
    namespace: str | None = None
    metadata: msgspec.Raw = _NULL


class BadRow(NamedTuple):
    """A row that is not sent, or that was refused.

    :param mark: where it stands.
    :param text: its bytes.
    :param reason: what is wrong with it.
    :param unparsable: it is not a vector in JSON at all: what ``unparsable_behavior`` speaks of.
    """

    mark: Mark
    text: bytes
    reason: str
    unparsable: bool = False


class GoodRow(NamedTuple):
    """A row that can be sent.

    :param mark: where it stands.
    :param text: its bytes, without an end of line.
    :param id: the vector's id.
    """

    mark: Mark
    text: bytes
    id: str


class Checker:
    """Checks rows against one index.

    :param dimensions: the index's.
    :param limits: Cloudflare's limits.
    """

    def __init__(self, dimensions: int, limits: Limits = LIMITS) -> None:
        self._dimensions = dimensions
        self._limits = limits
        self._floats = struct.Struct(f"<{dimensions}f")

    @cached_property
    def _row(self) -> msgspec.json.Decoder[Row]:
        return msgspec.json.Decoder(Row)

    @cached_property
    def _metadata(self) -> msgspec.json.Decoder[dict[str, Any] | None]:
        return msgspec.json.Decoder(dict[str, Any] | None)

    def rows(self, block: Block) -> Iterator[GoodRow | BadRow]:
        """The rows of a block, in order. Blank lines are none; a ``\\r`` before the ``\\n`` does not count."""
        number, line, offset = block.mark
        for raw in block.data.split(b"\n"):
            mark = Mark(number, line, offset)
            line += 1
            offset += len(raw) + 1
            text = (raw.removeprefix(BOM) if mark.offset == 0 else raw).strip(b" \t\r")
            if text:
                yield self.check(mark, text)

    def check(self, mark: Mark, text: bytes) -> GoodRow | BadRow:
        """Check one line."""
        try:
            if not text.isascii():
                text.decode()  # the parser skips what it does not need, and does not look at its encoding
            row = self._row.decode(text)
            problem = self._problem(row)
        except UnicodeDecodeError as error:
            return BadRow(mark, text, f"not UTF-8, at byte {error.start} of the line", True)
        except msgspec.DecodeError as error:
            return BadRow(mark, text, f"not a vector in JSON: {error}", True)
        return BadRow(mark, text, problem) if problem else GoodRow(mark, text, row.id)

    def _problem(self, row: Row) -> str | None:
        limits = self._limits
        if len(row.id) * 4 > limits.id_bytes and (size := len(row.id.encode())) > limits.id_bytes:
            return f"the id has {size} bytes, at most {limits.id_bytes} are allowed"
        if row.namespace is not None and (size := len(row.namespace.encode())) > limits.namespace_bytes:
            return f"the namespace has {size} bytes, at most {limits.namespace_bytes} are allowed"
        if len(row.values) != self._dimensions:
            return f"{len(row.values)} values, the index has {self._dimensions} dimensions"
        try:
            self._floats.pack(*row.values)
        except OverflowError:
            return "a value is beyond the range of float32"
        return self._metadata_problem(row.metadata) if row.metadata is not _NULL else None

    def _metadata_problem(self, raw: msgspec.Raw) -> str | None:
        metadata = self._metadata.decode(raw)
        if not metadata:
            return None
        for key in metadata:
            if not key or key[0] == "$" or "." in key or '"' in key:
                return f'the metadata key {key!r} is empty, begins with $, or has a "." or a quote'
        if len(memoryview(raw)) > self._limits.metadata_bytes:
            size = len(msgspec.json.encode(metadata))
            if size > self._limits.metadata_bytes:
                return (
                    f"the metadata has {size} bytes of compact JSON, at most {self._limits.metadata_bytes} are allowed"
                )
        return None
