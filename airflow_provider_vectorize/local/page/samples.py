"""Samples of the vectors of an index with their projection, for the plot of the page."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from airflow_provider_vectorize.local.engine.engine import Engine
from airflow_provider_vectorize.local.engine.records import Index, Json, StoredVector
from airflow_provider_vectorize.local.page.groups import Scalar, group, scalars
from airflow_provider_vectorize.local.page.projection import Projection, project

MAX_POINTS = 5_000
KEPT_SAMPLES = 4
MAX_KEYS = 50
COORDINATES = 1_000
NAMESPACE = "namespace"
METADATA_PREFIX = "metadata."


@dataclass(frozen=True, slots=True)
class Sample:
    """Some vectors of an index as of one batch, without their values."""

    batch: int
    total: int
    vectors: tuple[StoredVector, ...]
    projection: Projection

    def describe(self, color: str) -> Json:
        """Return the plot as JSON, with points in thousandths of the largest coordinate.

        :param color: What the points are grouped by: ``namespace``, or ``metadata.`` and the dotted name of a property.
        """
        metadata = [_properties(vector) for vector in self.vectors]
        keys = Counter(key for properties in metadata for key in properties)
        values: list[Scalar]
        if color.startswith(METADATA_PREFIX):
            values = [properties.get(color.removeprefix(METADATA_PREFIX)) for properties in metadata]
        else:
            values = [vector.namespace for vector in self.vectors]
        groups = group(values)
        points = np.rint(self.projection.points * COORDINATES).astype(np.int64)
        return {
            "batch": self.batch,
            "total": self.total,
            "explained": self.projection.explained,
            "keys": [NAMESPACE, *(METADATA_PREFIX + key for key, _ in keys.most_common(MAX_KEYS))],
            "groups": [
                {"label": label, "count": count} for label, count in zip(groups.labels, groups.counts, strict=True)
            ],
            "others": groups.others,
            "ordered": groups.ordered,
            "group": groups.of_point,
            "x": points[:, 0].tolist(),
            "y": points[:, 1].tolist(),
            "ids": [vector.id for vector in self.vectors],
        }


def _properties(vector: StoredVector) -> dict[str, Any]:
    return dict(scalars(orjson.loads(vector.metadata))) if vector.metadata else {}


class Samples:
    """Samples of indexes. The last ones are kept until a batch changes their index."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._kept = lru_cache(KEPT_SAMPLES)(self._calculate)

    def get(self, index: Index) -> Sample:
        """Return the sample of an index as of its visible batch. Blocks while one is calculated."""
        batch = self._engine.visible_batch(index)
        with self._lock:  # Concurrent requests for one index calculate it once, and no request takes all processors.
            return self._kept(index, batch)

    def _calculate(self, index: Index, batch: int) -> Sample:
        total, vectors = self._engine.sample(index, MAX_POINTS, batch)
        values = np.frombuffer(b"".join(vector.values for vector in vectors), np.float32)
        return Sample(
            batch,
            total,
            tuple(vector._replace(values=b"") for vector in vectors),
            project(values.reshape(len(vectors), index.dimensions), index.metric),
        )
