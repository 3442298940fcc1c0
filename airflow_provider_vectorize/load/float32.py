"""Which float32 cannot travel as their shortest text."""

from __future__ import annotations

import numpy as np

#: A float32's shortest text is nearer to it than to any other float32. Whoever reads it as a double first, as JSON parsers
#: do, rounds twice: to the nearest double, and that to the nearest float32. Where the text stands closer to the middle
#: between two float32 than doubles are apart, the double is that middle, and the tie goes to the even neighbor. Of all
#: float32 this happens to one, of either sign: 7.0385307e-26, which would arrive as 7.038530e-26. Found by trying each
#: of them; `tests/load/test_float32.py` shows how.
ROUNDED_TWICE = np.array([0x15AE43FD], np.uint32).view(np.float32)[0]


def rounds_twice(values: np.ndarray) -> bool:
    """Whether the shortest text of one of these float32 is another float32, once it was read as a double."""
    return bool((np.abs(values) == ROUNDED_TWICE).any())
