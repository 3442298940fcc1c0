"""Groups of the points of a plot, each of which has its own color."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scalar = str | int | float | bool | None
MAX_GROUPS = 8
OTHER, NONE = "other values", "no value"


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of points by the value of a namespace or a metadata property."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    of_point: tuple[int, ...]
    """Number of the group of each point."""
    others: int
    """Number of groups at the end that stand for no single value: other values, and no value."""
    ordered: bool
    """Whether the groups, except these others, are ranges of numbers in ascending order."""


def group(values: Sequence[Scalar]) -> Groups:
    """Group values: numbers with many different values by range, and all others by value.

    Ranges contain about the same number of points. Values that are not among the most frequent ones form one group.
    """
    known = [value for value in values if value is not None]
    ordered = len(set(known)) > MAX_GROUPS and all(type(value) in (int, float) for value in known)
    labels, of_point = _by_range(values) if ordered else _by_value(values)
    counts = np.bincount(of_point, minlength=len(labels) + 2)
    kept = np.flatnonzero(counts)
    names = [*labels, OTHER, NONE]
    return Groups(
        tuple(names[number] for number in kept),
        tuple(counts[kept].tolist()),
        tuple(np.searchsorted(kept, of_point).tolist()),
        int((kept >= len(labels)).sum()),
        ordered,
    )


def scalars(metadata: Any, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    """Yield the dotted name and the value of each property that is a string, a number or a boolean."""
    for name, value in metadata.items() if isinstance(metadata, dict) else ():
        if isinstance(value, dict):
            yield from scalars(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float):
            yield prefix + name, value


def _by_value(values: Sequence[Scalar]) -> tuple[list[str], NDArray[np.intp]]:
    """Return the labels of the groups, and the group of each value. The next two numbers mean OTHER and NONE."""
    texts = [None if value is None else _text(value) for value in values]
    counted = Counter(text for text in texts if text is not None)
    labels = sorted(counted, key=lambda text: (-counted[text], text))[:MAX_GROUPS]
    other, none = len(labels), len(labels) + 1
    number_of = {label: number for number, label in enumerate(labels)}
    return labels, np.array([none if text is None else number_of.get(text, other) for text in texts], np.intp)


def _by_range(values: Sequence[Scalar]) -> tuple[list[str], NDArray[np.intp]]:
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    missing = np.isnan(numbers)
    quantiles = np.quantile(numbers[~missing], np.linspace(0, 1, MAX_GROUPS + 1), method="inverted_cdf")
    bounds = np.unique(quantiles)
    of_point = np.clip(np.searchsorted(bounds, numbers, "right") - 1, 0, len(bounds) - 2)
    labels = [
        f"{_text(low)} to {_text(high)}" for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    return labels, np.where(missing, len(labels) + 1, of_point)


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return str(value)
