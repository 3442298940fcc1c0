"""Write values as JSON."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
import orjson

from airflow_provider_vectorize.rows.float32 import rounds_twice
from airflow_provider_vectorize.rows.pending_rows import Work

#: Usual bytes of a value as text, with its comma.
VALUE_BYTES = 12


def write_values(values: np.ndarray) -> list[bytes]:
    """Return the values of each row as a JSON array, in the shortest text of the same float32 or float64."""
    if values.dtype == np.float32 and rounds_twice(values):
        values = values.astype(np.float64)
    # Small texts are faster than a large one, whose memory the operating system would have to clear each time.
    return [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in values]


class ValuesText:
    """Settings of the work to write values as text. Implements :class:`~.pending_rows.WorkSettings`."""

    #: Writing values takes several times as long as decoding them.
    is_slow = True

    def make_work(self) -> Work:
        """Return work that takes the bytes of rows of values, their type and number of columns."""
        return _write


def _write(data: bytes, message: Any) -> tuple[list[int], bytes]:
    dtype, dimensions = message
    texts = write_values(np.frombuffer(data, dtype).reshape(-1, dimensions))
    return list(accumulate(map(len, texts))), b"".join(texts)
