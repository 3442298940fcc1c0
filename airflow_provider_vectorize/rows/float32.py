"""Convert values to float32, and detect those that cannot be sent as their shortest text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: The shortest text of a float32 is closer to it than to any other float32. A JSON parser reads the text as a double
#: first, so it is rounded twice: to the nearest double, and from there to the nearest float32. If the text is closer to
#: the midpoint between two float32 values than doubles are apart, the double is the midpoint itself, and the even
#: neighbor wins. This happens to one float32, of either sign: 7.0385307e-26. Its shortest text, 7.038531e-26, is read
#: as 7.0385313e-26. It was found by trying all float32 values, as `tests/rows/test_float32.py` does with a sample.
ROUNDED_TWICE = np.array([0x15AE43FD], np.uint32).view(np.float32)[0]


def rounds_twice(values: np.ndarray | np.generic) -> bool:
    """Return whether a parser that reads doubles would read the shortest text of a value as another float32."""
    return bool((np.abs(values) == ROUNDED_TWICE).any())


def to_float32(values: Sequence[bytes]) -> np.ndarray | None:
    """Convert pieces of values from float64 to float32. Return ``None`` if one is beyond the range of float32."""
    try:
        with np.errstate(over="raise"):
            pieces = [np.frombuffer(piece, np.float64).astype(np.float32) for piece in values]
    except FloatingPointError:
        return None
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
