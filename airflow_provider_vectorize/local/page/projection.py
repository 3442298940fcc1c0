"""Principal component analysis: the two directions in which vectors differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_provider_vectorize.local.engine.records import Floats


@dataclass(frozen=True, slots=True)
class Projection:
    """Vectors in two dimensions."""

    points: Floats
    """One row for each vector. The largest absolute coordinate is 1."""
    explained: tuple[float, float]
    """Share of the variance along each axis, from 0 to 1."""


def project(values: Floats, metric: str) -> Projection:
    """Project vectors onto their first two principal components.

    The same vectors always get the same points, because the sign of a component is fixed.

    :param values: One row for each vector.
    :param metric: Metric of the index. With ``cosine``, which ignores lengths, all vectors get the same length.
    """
    if not len(values):
        return Projection(np.zeros((0, 2), np.float32), (0.0, 0.0))
    # Scaled values are at most 1, so that no square of a float32 overflows.
    if metric == "cosine":
        centered = _scale(values, axis=1)
        centered /= np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1)  # Below 1 only if all values are 0.
    else:
        centered = _scale(values)
    centered -= centered.mean(axis=0, dtype=np.float64)  # Equal vectors have a mean that equals them.
    variances, components = np.linalg.eigh(centered.T @ centered)
    variances = np.maximum(variances[::-1], 0)
    axes = components[:, ::-1][:, :2]
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0))
    points: Floats = centered @ axes
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 1)))
    shares = np.append(variances[:2] / max(float(variances.sum()), float(np.finfo(np.float32).tiny)), 0.0)
    return Projection(_scale(points), (float(shares[0]), float(shares[1])))


def _scale(values: Floats, axis: int | None = None) -> Floats:
    """Return a copy whose largest absolute value, of all or of each row, is 1. Zeros stay zeros."""
    largest = np.abs(values).max(axis=axis, keepdims=True)
    scaled = np.zeros(values.shape, np.float32)
    np.divide(values, largest, out=scaled, where=largest > 0)
    return scaled
