"""Read dead letters as a source: a line that is a dead letter is replaced by the row in it.

Dead letters are recognized by their keys, not by the name of the object. Their row is text or, if someone replaced the
text to correct it more easily, a JSON object.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec

from airflow_provider_vectorize.rows.checks import CheckedBlock
from airflow_provider_vectorize.rows.mapped_rows import MappedCheck
from airflow_provider_vectorize.rows.validation import Check

_ORIGIN = "first rejected as"


class DeadLetterRow(NamedTuple):
    """The row in a dead letter.

    :param text: Bytes of the row.
    :param origin: Where it was rejected first. It is added to the reason if the row is rejected again.
    """

    text: bytes
    origin: str


class _DeadLetter(msgspec.Struct):
    """The keys of a dead letter, and those that only a vector has."""

    object: str
    line: int
    reason: str
    row: Any
    offset: int | None = None
    row_group: int | None = None  #: In place of the offset, for rows of Parquet.
    id: Any = None
    values: Any = None


class _RawDeadLetter(_DeadLetter):
    """A dead letter with its row as JSON."""

    row: msgspec.Raw


_decode = msgspec.json.Decoder(_RawDeadLetter).decode


def may_be_dead_letter(data: bytes, end: int) -> bool:
    """Return whether the first line may be a dead letter, without copying it.

    :param end: Where the line ends in ``data``.
    """
    return data.find(b'"row"', 0, end) >= 0 and data.find(b'"reason"', 0, end) >= 0


def row_in_dead_letter(line: bytes) -> DeadLetterRow | None:
    """Return the row in a line if the line is a dead letter, or ``None``.

    :param line: The line without its newline.
    """
    if not may_be_dead_letter(line, len(line)):
        return None
    try:
        letter = _decode_dead_letter(line)
    except (ValueError, RecursionError):
        return None
    if letter.id is not None or letter.values is not None:
        return None  # This is a vector that also has the keys of a dead letter.
    if letter.offset is None and letter.row_group is None:
        return None
    if isinstance(letter.row, str):
        text = letter.row.encode("utf-8", "surrogateescape")
    elif bytes(letter.row).startswith(b"{"):
        text = bytes(letter.row)
    else:
        return None
    return DeadLetterRow(_on_one_line(text), f"{_ORIGIN} line {letter.line} of {letter.object}")


def _decode_dead_letter(line: bytes) -> _DeadLetter:
    """Decode a dead letter with its row as text or as JSON.

    :raises ValueError: The line is not a dead letter.
    """
    try:
        letter = _decode(line)
    except msgspec.DecodeError:
        # msgspec refuses the surrogates that represent bytes that are not UTF-8.
        return msgspec.convert(json.loads(line), _DeadLetter)
    if bytes(letter.row).startswith(b'"'):
        letter.row = json.loads(bytes(letter.row))
    return letter


def without_origin(reason: str) -> str:
    """Return a reason without the place where the row was rejected first."""
    return reason.partition(f" ({_ORIGIN} ")[0]


class DeadLetterCheck:
    """Checks the rows in dead letters, and all other lines unchanged.

    :param check: Check for a row.
    """

    def __init__(self, check: Check) -> None:
        self._check = check

    def __call__(self, line: bytes) -> tuple[str | None, bytes]:
        """Check the row in a line. Raises the errors of the check."""
        letter = row_in_dead_letter(line)
        text = letter.text.strip() if letter else line
        text.decode()
        if letter and isinstance(self._check, MappedCheck):
            return self._check.check_dead_letter(text)
        return self._check(text)

    def check_block(self, data: bytes, ends: list[int]) -> CheckedBlock | None:
        """Return ``None``, because dead letters are read line by line."""
        return None


def _on_one_line(text: bytes) -> bytes:
    """Join the lines of a row that someone formatted. In valid JSON, a newline can only be between two tokens."""
    if b"\n" not in text:
        return text
    try:
        return msgspec.json.format(text, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return text.replace(b"\n", b"\\n")  # The row is invalid JSON, and stays invalid.
