"""A block → its rows. Rows are columns of a block, not an object each: a short row has two microseconds."""

from __future__ import annotations

from itertools import accumulate
from operator import is_
from typing import NamedTuple

import msgspec

from airflow_provider_vectorize.load.checkpoint import Done
from airflow_provider_vectorize.load.lines import BOM, KEPT_BYTES, LINE_BYTES, Block, Mark
from airflow_provider_vectorize.load.vectors import Check, RowProblem

_SPACE = b" \t\r"


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


class Rows(NamedTuple):
    """A block's rows, in order.

    :param object: the number of the object in the source.
    :param body: the good ones as they are sent, each with its ``\\n``.
    :param ends: where each ends in ``body``.
    :param ids: the vectors' ids, ``None`` where a row was not looked at closely enough to know.
    :param lines: the number of each in its object, from 1.
    :param offsets: the byte at which each begins in its object.
    :param bad: the others.
    :param end: where the block ends.
    """

    object: int
    body: bytes
    ends: list[int]
    ids: list[str | None]
    lines: list[int]
    offsets: list[int]
    bad: list[BadRow]
    end: Mark


def check_rows(block: Block, check: Check) -> Rows:
    """Check each line of a block. Blank lines are no rows, and a ``\\r`` before the ``\\n`` does not count."""
    number, line, offset = block.mark
    if block.overlong:
        reason = f"longer than {LINE_BYTES >> 20} MB, which no vector is; only its first {KEPT_BYTES:,} bytes are kept"
        # The block's end is not known yet: the next one begins there.
        return Rows(number, b"", [], [], [], [], [BadRow(block.mark, block.data, reason, True)], block.mark)
    data = block.data
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
        try:
            if not ascii_only:
                raw.decode()
            vector_id, text = check(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RowProblem):
            # Blank lines come here, too, where they are not in the way of good rows.
            again = _check_again(raw, check, Mark(number, line, offset), bad)
            if again is not None:
                vector_id, text = again
                texts.append(text)
                ids.append(vector_id)
                lines.append(line)
                offsets.append(offset)
        else:
            texts.append(text)
            ids.append(vector_id)
            lines.append(line)
            offsets.append(offset)
        line += 1
        offset += len(raw) + 1
    ends = list(accumulate(len(text) + 1 for text in texts))
    # The last piece is what follows the last \n: usually nothing, and then it is no line of its own.
    end = Mark(number, line if raws[-1] else line - 1, block.mark.offset + len(block.data))
    as_it_stands = len(texts) == len(raws) - 1 and not raws[-1] and all(map(is_, texts, raws))
    if not as_it_stands:
        texts.append(b"")
        data = b"\n".join(texts)
    return Rows(number, data, ends, ids, lines, offsets, bad, end)


def _check_again(raw: bytes, check: Check, mark: Mark, bad: list[BadRow]) -> tuple[str | None, bytes] | None:
    """A line that did not pass: a blank one, or one to be written down with what is wrong with it."""
    text = raw.strip(_SPACE)
    if not text:
        return None
    try:
        text.decode()
        return check(text)
    except RowProblem as error:
        bad.append(BadRow(mark, text, str(error)))
    except UnicodeDecodeError as error:
        bad.append(BadRow(mark, text, f"not UTF-8, at byte {error.start} of the line", True))
    except msgspec.DecodeError as error:
        bad.append(BadRow(mark, text, f"not a vector in JSON: {error}", True))
    except RecursionError:
        bad.append(BadRow(mark, text, "not a vector in JSON: nested too deeply", True))
    return None


def without(rows: Rows, done: Done) -> Rows:
    """The rows that are not dealt with. Only a load that goes on with gaps comes here, so it need not be fast."""
    left = [
        row
        for row, place in enumerate(zip(rows.lines, rows.offsets, strict=True))
        if not done.covers(Mark(rows.object, *place))
    ]
    starts = [0, *rows.ends]
    body = b"".join(rows.body[starts[row] : rows.ends[row]] for row in left)
    return rows._replace(
        body=body,
        ends=list(accumulate(rows.ends[row] - starts[row] for row in left)),
        ids=[rows.ids[row] for row in left],
        lines=[rows.lines[row] for row in left],
        offsets=[rows.offsets[row] for row in left],
        bad=[bad for bad in rows.bad if not done.covers(bad.mark)],
    )
