"""Markers: writes without effect. A processed marker proves that all writes acknowledged before it are processed."""

from __future__ import annotations

from uuid import uuid4

#: Prefix of the ids of markers. Users must not give such ids to their own vectors.
PREFIX = "airflow-marker-"


def marker_id() -> str:
    """Return an id that no vector has."""
    return f"{PREFIX}{uuid4()}"
