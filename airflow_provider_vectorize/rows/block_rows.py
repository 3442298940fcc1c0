"""A block → its rows. Rows are columns of a block, not an object each: a short row has two microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from airflow_provider_vectorize.rows.checks import LONG_BYTES, RowProblem
from airflow_provider_vectorize.rows.dead_letter_rows import DeadLetterCheck, may_be_dead_letter, row_in_dead_letter
from airflow_provider_vectorize.rows.encoding import non_finite_place
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.rows.validation import Check
from airflow_provider_vectorize.sources.lines import BOM, KEPT_LINE_BYTES, LINE_BYTES, Block, Position
from airflow_provider_vectorize.sources.source_file import SourceFile

_SPACE = b" \t\r"
_NEWLINE = ord("\n")
#: Bytes of a line that are decoded at a time.
_DECODED_BYTES = 1 << 20


class BadRow(NamedTuple):
    """A row that is not sent, or that was refused.

    :param position: where it stands.
    :param text: its bytes.
    :param reason: what is wrong with it.
    :param unparsable: it is not a valid JSON vector at all: what ``unparsable_behavior`` speaks of.
    """

    position: Position
    text: bytes
    reason: str
    unparsable: bool = False


class Rows(NamedTuple):
    """A block's rows, in order.

    :param object: the number of the object in the source.
    :param body: the good ones as they are sent, each with its ``\\n``.
    :param ends: where each ends in ``body``.
    :param ids: the vectors' ids, ``None`` where a row was not looked at closely enough to know.
    :param lines: the number of each in its object, from 1.
    :param base: the byte of the object from which …
    :param offsets: … the byte is counted at which each begins.
    :param bad: the others.
    :param end: where the block ends.
    :param source_range: A source file that holds the bytes of ``body``, and the offset at which they begin in it, or
        ``None``. Batches are then sent from that file without a copy.
    """

    object: int
    body: bytes
    ends: list[int]
    ids: Sequence[str | None]
    lines: Sequence[int]
    base: int
    offsets: Sequence[int]
    bad: list[BadRow]
    end: Position
    source_range: tuple[SourceFile, int] | None = None

    def position(self, row: int) -> Position:
        """Where a row stands in the source."""
        return Position(self.object, self.lines[row], self.base + self.offsets[row])


def check_rows(block: Block, check: Check) -> Rows:
    """Check each line of a block. Blank lines are no rows, and a ``\\r`` before the ``\\n`` does not count."""
    number, line, offset = block.position
    if block.overlong:
        reason = (
            f"longer than {LINE_BYTES >> 20} MB, which no vector is; only its first {KEPT_LINE_BYTES:,} bytes are kept"
        )
        # The block's end is not known yet: the next one begins there.
        return Rows(number, b"", [], [], [], 0, [], [BadRow(block.position, block.data, reason, True)], block.position)
    data = block.data
    if block.ends and may_be_dead_letter(data, block.ends[0]) and row_in_dead_letter(data[: block.ends[0]]):
        return _look_at_letters(block, check)
    if block.ends and data[block.ends[-1] - 1] == _NEWLINE and not (offset == 0 and data.startswith(BOM)):
        checked = check.block(data, block.ends)
        if checked:
            body = data if checked.body is None else checked.body
            lines = range(line, line + len(block.ends))
            return Rows(number, body, checked.ends, checked.ids, lines, offset, [0, *block.ends], [], block.end)
    rows = _look_at_each(block, check)
    return _look_at_letters(block, check) if any(row_in_dead_letter(bad.text) for bad in rows.bad) else rows


def _look_at_letters(block: Block, check: Check) -> Rows:
    """Check the rows in dead letters that are loaded again."""
    rows = _look_at_each(block, DeadLetterCheck(check))
    bad = []
    for row in rows.bad:
        letter = row_in_dead_letter(row.text)
        bad.append(row._replace(text=letter.text, reason=f"{row.reason} ({letter.origin})") if letter else row)
    return rows._replace(bad=bad)


def _look_at_each(block: Block, check: Check) -> Rows:
    """Check the lines one by one, and say what is wrong with each bad one."""
    number, line, offset = block.position
    data = block.text
    if offset == 0 and data.startswith(BOM):
        data, offset = data[len(BOM) :], len(BOM)
    raws = data.split(b"\n")
    texts: list[bytes] = []
    ids: list[str | None] = []
    lines: list[int] = []
    offsets: list[int] = []
    bad: list[BadRow] = []
    # The parser skips what it does not need, and does not look at its encoding.
    ascii_only = data.isascii()
    for raw in raws:
        if not raw.strip(_SPACE):
            line += 1
            offset += len(raw) + 1
            continue
        found: tuple[str | None, bytes] | None = None
        try:
            if not ascii_only:
                check_utf8(raw)
            found = check(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RowProblem):
            pass  # looked at again below, where the error no longer holds what it was raised for
        found = found or _check_again(raw, check, Position(number, line, offset), bad)
        if found:
            ids.append(found[0])
            texts.append(found[1])
            lines.append(line)
            offsets.append(offset)
        line += 1
        offset += len(raw) + 1
    ends = list(accumulate(len(text) + 1 for text in texts))
    texts.append(b"")
    # A text is never longer than its line: where all together are as long, they stand as they are.
    body = data if ends and ends[-1] == len(data) else b"\n".join(texts)
    return Rows(number, body, ends, ids, lines, 0, offsets, bad, block.end)


def _check_again(raw: bytes, check: Check, position: Position, bad: list[BadRow]) -> tuple[str | None, bytes] | None:
    """A line that did not pass: perhaps for what stands around it, or to be written down with what is wrong with it."""
    text = raw.strip(_SPACE)
    if text.startswith(BOM):
        reason = "not a valid JSON vector: a byte order mark, which may only stand at the beginning of an object"
        bad.append(BadRow(position, text, reason, True))
        return None
    try:
        check_utf8(text)
        return check(text)
    except RowProblem as error:
        bad.append(BadRow(position, text, str(error)))
    except UnicodeDecodeError as error:
        bad.append(BadRow(position, text, f"not UTF-8, at byte {error.start} of the line", True))
    except msgspec.DecodeError as error:
        place = non_finite_place(text) if len(text) <= LONG_BYTES else None
        bad.append(BadRow(position, text, f"not a valid JSON vector: {place or error}", True))
    except RecursionError:
        bad.append(BadRow(position, text, "not a valid JSON vector: nested too deeply", True))
    return None


def check_utf8(text: bytes) -> None:
    """Raise, if these bytes are not UTF-8; in pieces, since as a string a long line can take four times its bytes.

    :raises UnicodeDecodeError: with the place in the whole text.
    """
    at = 0
    while at < len(text):
        stop = at + _DECODED_BYTES
        while stop < len(text) and stop > at + _DECODED_BYTES - 3 and text[stop] & 0xC0 == 0x80:
            stop -= 1  # not inside of a character
        try:
            text[at:stop].decode()
        except UnicodeDecodeError as error:
            raise UnicodeDecodeError("utf-8", text, at + error.start, at + error.end, error.reason) from None
        at = stop


def without(rows: Rows, done: ProcessedRanges) -> Rows:
    """The rows that are not dealt with. Only a load that goes on with gaps comes here, so it need not be fast."""
    left = [row for row in range(len(rows.ends)) if not done.covers(rows.position(row))]
    starts = [0, *rows.ends]
    body = b"".join(rows.body[starts[row] : rows.ends[row]] for row in left)
    return rows._replace(
        body=body,
        ends=list(accumulate(rows.ends[row] - starts[row] for row in left)),
        ids=[rows.ids[row] for row in left],
        lines=[rows.lines[row] for row in left],
        offsets=[rows.offsets[row] for row in left],
        source_range=None,
        bad=[bad for bad in rows.bad if not done.covers(bad.position)],
    )
