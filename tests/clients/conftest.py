"""Helpers for tests of third-party clients against local Vectorize."""

from __future__ import annotations

import json
from typing import Any

DIMENSIONS = 32


def values(*first: float) -> list[float]:
    return [*first, *[0.0] * (DIMENSIONS - len(first))]


def ndjson(*vectors: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(vector).encode() + b"\n" for vector in vectors)
