"""Which float32 cannot travel as their shortest text."""

from __future__ import annotations

import numpy as np

#: The shortest text of a float32 is nearer to it than to any other float32. A JSON parser reads it as a double first,
#: so it is rounded twice: to the nearest double, and that one to the nearest float32. If the text stands closer to the
#: middle between two float32 than doubles are apart, the double is the middle itself, and then the even neighbor wins.
#: Of all float32 this happens to one, of either sign: 7.0385307e-26, whose shortest text, 7.038531e-26, arrives as
#: 7.0385313e-26. It was found by trying each of them, as `tests/rows/test_float32.py` does with some.
ROUNDED_TWICE = np.array([0x15AE43FD], np.uint32).view(np.float32)[0]


def rounds_twice(values: np.ndarray | np.generic) -> bool:
    """Whether the shortest text of one of these float32 means another float32 to who reads it as a double."""
    return bool((np.abs(values) == ROUNDED_TWICE).any())
