"""Read dead letters as a source again: a line that is a dead letter stands for the row in it.

Letters are recognized by their keys, not by the name of the object. Someone may have corrected a row as text, or
replaced the text with the row itself as a JSON object.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec

from airflow_provider_vectorize.rows.checks import Checked
from airflow_provider_vectorize.rows.validation import Check

_ORIGIN = "first rejected as"


class DeadLetterRow(NamedTuple):
    """The row in a dead letter.

    :param text: its bytes.
    :param origin: where it was rejected, to be added to the reason if it is rejected again.
    """

    text: bytes
    origin: str


class _Letter(msgspec.Struct):
    """What every dead letter has, and no vector."""

    object: str
    line: int
    offset: int
    reason: str
    row: Any
    id: Any = None
    values: Any = None


class _RawLetter(_Letter):
    """The same, with the row as it is written."""

    row: msgspec.Raw


_decode = msgspec.json.Decoder(_RawLetter).decode


def may_be_dead_letter(data: bytes, end: int) -> bool:
    """Return whether the line that ends there may be a dead letter, without a copy of it."""
    return data.find(b'"row"', 0, end) >= 0 and data.find(b'"reason"', 0, end) >= 0


def row_in_dead_letter(line: bytes) -> DeadLetterRow | None:
    """Return the row that a line holds if the line is a dead letter.

    :param line: Without its newline.
    """
    if not may_be_dead_letter(line, len(line)):
        return None
    try:
        letter = _decoded(line)
    except (ValueError, RecursionError):
        return None
    if letter.id is not None or letter.values is not None:
        return None  # a vector that has such keys, too
    if isinstance(letter.row, str):
        text = letter.row.encode("utf-8", "surrogateescape")
    elif bytes(letter.row).startswith(b"{"):
        text = bytes(letter.row)
    else:
        return None
    return DeadLetterRow(_on_one_line(text), f"{_ORIGIN} line {letter.line} of {letter.object}")


def _decoded(line: bytes) -> _Letter:
    """Decode a letter, its row as text or as JSON.

    :raises ValueError: It is none.
    """
    try:
        letter = _decode(line)
    except msgspec.DecodeError:
        # msgspec refuses the surrogates that stand for bytes that are not UTF-8.
        return msgspec.convert(json.loads(line), _Letter)
    if bytes(letter.row).startswith(b'"'):
        letter.row = json.loads(bytes(letter.row))
    return letter


def without_origin(reason: str) -> str:
    """Return the reason without the place where a row was rejected first."""
    return reason.partition(f" ({_ORIGIN} ")[0]


class DeadLetterCheck:
    """Checks the rows in letters, and all other lines as they are.

    :param check: checks a row.
    """

    def __init__(self, check: Check) -> None:
        self._check = check

    def __call__(self, line: bytes) -> tuple[str | None, bytes]:
        """Check the row in a line; errors are those of the check."""
        letter = row_in_dead_letter(line)
        text = letter.text.strip() if letter else line
        text.decode()
        return self._check(text)

    def block(self, data: bytes, ends: list[int]) -> Checked | None:
        """Check nothing: letters are read line by line."""
        return None


def _on_one_line(text: bytes) -> bytes:
    """Join the lines of a row that someone has laid out. In good JSON, a newline can only stand between two tokens."""
    if b"\n" not in text:
        return text
    try:
        return msgspec.json.format(text, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return text.replace(b"\n", b"\\n")  # Bad JSON stays bad JSON.
