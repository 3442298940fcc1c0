"""Check the lines of a block and return its rows as columns.

Rows are not objects of their own, because a short row must take no more than two microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec
import numpy as np

from airflow_provider_vectorize.rows.checks import LONG_BYTES, RowProblem
from airflow_provider_vectorize.rows.dead_letter_rows import DeadLetterCheck, may_be_dead_letter, row_in_dead_letter
from airflow_provider_vectorize.rows.encoding import non_finite_place
from airflow_provider_vectorize.rows.float32 import rounds_twice
from airflow_provider_vectorize.rows.float32_text import read_values, shorten_values
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.lines import BOM, KEPT_LINE_BYTES, LINE_BYTES, Block, Position
from airflow_provider_vectorize.sources.source_file import SourceFile

_SPACE = b" \t\r"
_NEWLINE = ord("\n")
#: Bytes of a line to decode at a time.
_DECODED_BYTES = 1 << 20


class BadRow(NamedTuple):
    """A row that is not sent, or that Vectorize refused.

    :param position: Where the row begins.
    :param text: Bytes of the row.
    :param reason: What is wrong with the row.
    :param unparsable: Whether the row is not a JSON vector at all, so that ``unparsable_behavior`` applies to it.
    """

    position: Position
    text: bytes
    reason: str
    unparsable: bool = False


class Rows(NamedTuple):
    """The rows of a block, in order.

    :param object: Index of the object in the source.
    :param text: The good rows as they are sent, each with its ``\\n``. ``None``: ``source_range`` has them, and
        :attr:`body` reads them from there.
    :param ends: Where each good row ends in the text.
    :param ids: Ids of the vectors, ``None`` for each row that was not parsed far enough to know its id.
    :param lines: Line of each good row in the object, from 1.
    :param base: Byte of the object from which ``offsets`` count.
    :param offsets: Where each good row begins, relative to ``base``.
    :param bad: The bad rows.
    :param end: Position at which the block ends.
    :param source_range: A source file that holds the text, and the offset at which it begins in it, or ``None``.
        Batches are sent from that file without a copy.
    :param hashes: Hash of each good row, if the check calculates hashes and checked the block as a whole.
    :param values: Values of the good rows as float32, a row for each, where the check has them as an array anyway.
    :param shorten: Whether :func:`with_short_values` has still to write the values as their shortest text.
    """

    object: int
    text: bytes | None
    ends: list[int]
    ids: Sequence[str | None]
    lines: Sequence[int]
    base: int
    offsets: Sequence[int]
    bad: list[BadRow]
    end: Position
    source_range: tuple[SourceFile, int] | None = None
    hashes: list[int] | None = None
    values: np.ndarray | None = None
    shorten: bool = False

    @property
    def body(self) -> bytes:
        """The good rows as they are sent.

        :raises SourceError: They are read from the source's file, which cannot be read or has changed.
        """
        if self.text is not None:
            return self.text
        assert self.source_range
        file, start = self.source_range
        body = file.read(start, start + self.ends[-1])
        file.verify()
        return body

    def position(self, row: int) -> Position:
        """Return where a good row begins in the source."""
        return Position(self.object, self.lines[row], self.base + self.offsets[row])


def check_rows(block: Block, check: Check) -> Rows:
    """Check each line of a block. Blank lines are not rows, and a ``\\r`` before the ``\\n`` is ignored."""
    number, line, offset = block.position
    if block.overlong:
        reason = (
            f"longer than {LINE_BYTES >> 20} MB, the maximum length of a line (only its first {KEPT_LINE_BYTES:,} "
            "bytes are kept)"
        )
        # The end of the line is not known yet. The next block reports it.
        bad_row = BadRow(block.position, block.data, reason, True)
        return Rows(number, b"", [], [], [], 0, [], [bad_row], block.position)
    data = block.data
    if block.ends and may_be_dead_letter(data, block.ends[0]) and row_in_dead_letter(data[: block.ends[0]]):
        return _check_dead_letters(block, check)
    if block.ends and data[block.ends[-1] - 1] == _NEWLINE and not (offset == 0 and data.startswith(BOM)):
        checked = check.check_block(data, block.ends)
        if checked:
            body = data if checked.body is None else checked.body
            lines = range(line, line + len(block.ends))
            offsets = [0, *block.ends]
            return Rows(
                number,
                body,
                checked.ends,
                checked.ids,
                lines,
                offset,
                offsets,
                [],
                block.end,
                hashes=checked.hashes,
                values=checked.values,
                shorten=checked.shorten,
            )
    rows = _check_lines(block, check)
    return _check_dead_letters(block, check) if any(row_in_dead_letter(bad.text) for bad in rows.bad) else rows


def _check_dead_letters(block: Block, check: Check) -> Rows:
    """Check a block that holds dead letters: the row in each of them is loaded."""
    rows = _check_lines(block, DeadLetterCheck(check))
    bad = []
    for row in rows.bad:
        letter = row_in_dead_letter(row.text)
        bad.append(row._replace(text=letter.text, reason=f"{row.reason} ({letter.origin})") if letter else row)
    return rows._replace(bad=bad)


def _check_lines(block: Block, check: Check) -> Rows:
    """Check the lines one by one, and record the reason for each bad row."""
    number, line, offset = block.position
    data = block.text
    if offset == 0 and data.startswith(BOM):
        data, offset = data[len(BOM) :], len(BOM)
    raw_lines = data.split(b"\n")
    texts: list[bytes] = []
    ids: list[str | None] = []
    lines: list[int] = []
    offsets: list[int] = []
    bad: list[BadRow] = []
    # The parser skips keys that it does not need without checking that they are UTF-8.
    ascii_only = data.isascii()
    for raw in raw_lines:
        if not raw.strip(_SPACE):
            line += 1
            offset += len(raw) + 1
            continue
        accepted: tuple[str | None, bytes] | None = None
        try:
            if not ascii_only:
                check_utf8(raw)
            accepted = check(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RowProblem):
            pass  # Checked again below, after the error and all that it refers to are freed.
        accepted = accepted or _check_again(raw, check, Position(number, line, offset), bad)
        if accepted:
            ids.append(accepted[0])
            texts.append(accepted[1])
            lines.append(line)
            offsets.append(offset)
        line += 1
        offset += len(raw) + 1
    ends = list(accumulate(len(text) + 1 for text in texts))
    texts.append(b"")
    # A text is never longer than its line. So if all texts together are as long as the lines, they are the lines.
    body = data if ends and ends[-1] == len(data) else b"\n".join(texts)
    return Rows(number, body, ends, ids, lines, 0, offsets, bad, block.end)


def _check_again(raw: bytes, check: Check, position: Position, bad: list[BadRow]) -> tuple[str | None, bytes] | None:
    """Check a line that failed without the spaces around it. If it fails again, add it to ``bad`` with the reason."""
    text = raw.strip(_SPACE)
    if text.startswith(BOM):
        reason = "not a valid JSON vector: a byte order mark, which is allowed only at the beginning of an object"
        bad.append(BadRow(position, text, reason, True))
        return None
    try:
        check_utf8(text)
        return check(text)
    except RowProblem as error:
        bad.append(BadRow(position, text, f"{error}{_advice(text)}"))
    except UnicodeDecodeError as error:
        bad.append(BadRow(position, text, f"not UTF-8, at byte {error.start} of the line", True))
    except msgspec.DecodeError as error:
        place = non_finite_place(text) if len(text) <= LONG_BYTES else None
        bad.append(BadRow(position, text, f"not a valid JSON vector: {place or error}{_advice(text)}", True))
    except RecursionError:
        bad.append(BadRow(position, text, "not a valid JSON vector: nested too deeply", True))
    return None


def _advice(text: bytes) -> str:
    """Return what to do with a bad line of JSON that is not ndjson, as the end of a reason, or an empty text."""
    if text.startswith(b"[") or text == b"{" or text.endswith(b","):
        return " (write one object in each line, without an array or commas around them, as jq -c '.[]' does)"
    return ""


def check_utf8(text: bytes) -> None:
    """Raise if bytes are not UTF-8. Decodes in pieces, because a long line can take four times its bytes as a string.

    :raises UnicodeDecodeError: The bytes are not UTF-8. Its offsets refer to the whole text.
    """
    at = 0
    while at < len(text):
        stop = at + _DECODED_BYTES
        while stop < len(text) and stop > at + _DECODED_BYTES - 3 and text[stop] & 0xC0 == 0x80:
            stop -= 1  # Do not split a character.
        try:
            text[at:stop].decode()
        except UnicodeDecodeError as error:
            raise UnicodeDecodeError("utf-8", text, at + error.start, at + error.end, error.reason) from None
        at = stop


def shift_lines(rows: Rows, lines: int) -> Rows:
    """Return rows that begin so many lines later in the object."""
    end, shifted = rows.end, rows.lines
    return rows._replace(
        lines=range(shifted.start + lines, shifted.stop + lines)
        if isinstance(shifted, range)
        else [line + lines for line in shifted],
        bad=[bad._replace(position=_shift(bad.position, lines)) for bad in rows.bad],
        end=_shift(end, lines),
    )


def _shift(position: Position, lines: int) -> Position:
    return position._replace(line=position.line + lines)


def unprocessed_rows(rows: Rows, processed: ProcessedRanges) -> Rows:
    """Return the rows that are not processed. Only loads that resume with gaps need this, so it may be slow."""
    left = [row for row in range(len(rows.ends)) if not processed.covers(rows.position(row))]
    return select_rows(rows, left)._replace(bad=[bad for bad in rows.bad if not processed.covers(bad.position)])


def select_rows(rows: Rows, selected: Sequence[int]) -> Rows:
    """Return some of the good rows, and all bad rows.

    :param selected: Numbers of the rows, in order.
    """
    body, starts = rows.body if selected else b"", [0, *rows.ends]
    return rows._replace(
        text=b"".join([body[starts[row] : rows.ends[row]] for row in selected]),
        ends=list(accumulate(rows.ends[row] - starts[row] for row in selected)),
        ids=[rows.ids[row] for row in selected],
        lines=[rows.lines[row] for row in selected],
        offsets=[rows.offsets[row] for row in selected],
        hashes=[rows.hashes[row] for row in selected] if rows.hashes is not None else None,
        values=rows.values[list(selected)] if rows.values is not None else None,
        source_range=None,
    )


def with_short_values(rows: Rows) -> Rows:
    """Return rows with their values as the shortest text of the same float32, if that was left for later.

    The values of rows that another process has checked are read from their text, because few of them are needed.
    """
    if not rows.shorten or not rows.ends:
        return rows
    values = read_values(rows.body, rows.ends) if rows.values is None else rows.values
    if rounds_twice(values):  # Hardly any value does, so all of these rows keep their longer text.
        return rows._replace(shorten=False)
    body, ends = shorten_values(rows.body, rows.ends, values)
    return rows._replace(text=body, ends=ends, shorten=False, source_range=None)
