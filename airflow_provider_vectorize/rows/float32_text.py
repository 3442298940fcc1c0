"""Find the values in the text of rows, read them, and write them as the shortest text of the same float32."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import orjson

#: The text before the values in most rows: only one opening brace, that of the row, and at the end the key "values".
#: Its first quote follows a comma, a brace or a space. In valid JSON this quote can only begin a string. It cannot end
#: one or be inside of one.
BEFORE_VALUES = re.compile(rb'[ \t\r]*\{(?:[^{]*,)?[ \t\r]*"values"[ \t\r]*:[ \t\r]*')


class _Values(msgspec.Struct):
    values: list[float]


_decode = msgspec.json.Decoder(_Values).decode


def find_values(data: bytes, ends: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield for each row where it begins, where its values begin and end, and where it ends.

    If the values are not found, because the keys have an unusual order, their range is empty.
    """
    find, is_usual = data.find, BEFORE_VALUES.fullmatch
    start = 0
    for end in ends:
        first = find(b"[", start, end)
        if is_usual(data, start, first):
            yield start, first, find(b"]", first, end) + 1, end
        else:
            yield start, end, end, end
        start = end


def read_values(data: bytes, ends: Sequence[int]) -> np.ndarray:
    """Return the values of rows that were checked before, as float32, a row for each.

    :param data: The rows.
    :param ends: Where each row ends in ``data``.
    """
    with np.errstate(over="ignore"):
        return np.array([_decode(data[start:end]).values for start, end in pairwise((0, *ends))]).astype(np.float32)


def shorten_values(data: bytes, ends: Sequence[int], values: np.ndarray) -> tuple[bytes, list[int]]:
    """Return the text of rows with their values as the shortest text of the same float32, and where each row ends.

    :param data: The rows.
    :param ends: Where each row ends in ``data``.
    :param values: Values of each row as float32. None of them rounds twice.
    """
    texts = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    text_of = memoryview(texts)
    pieces: list[bytes | memoryview] = []
    sent_ends: list[int] = []
    at, size = 1, 0
    for start, first, last, end in find_values(data, ends):
        after = texts.find(b"]", at) + 1
        if after - at < last - first:
            pieces += data[start:first], text_of[at:after], data[last:end]
            size += after - at - (last - first)
        else:  # The values were not found, or are already shorter, as whole numbers are.
            pieces.append(data[start:end])
        size += end - start
        sent_ends.append(size)
        at = after + 1
    return b"".join(pieces), sent_ends
