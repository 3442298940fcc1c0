"""Markers: writes without effect, whose place in the index's log proves what stands before them."""

from __future__ import annotations

from uuid import uuid4

#: What the ids of markers begin with. No vector of a user should have such an id.
PREFIX = "airflow-marker-"


def marker_id() -> str:
    """Return an id that no vector has."""
    return f"{PREFIX}{uuid4()}"
