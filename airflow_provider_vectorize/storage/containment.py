"""Compare locations: whether two are in one bucket, and whether one is below another."""

from __future__ import annotations

import os

from airflow_provider_vectorize.storage.names import Location


def in_same_bucket(location: Location, other: Location) -> bool:
    """Return whether two locations are in one bucket, whatever their connections."""
    return (location.scheme, location.bucket) == (other.scheme, other.bucket)


def real_key(location: Location) -> str:
    """Return the key of a location. Links in a local path are resolved."""
    return os.path.realpath(location.key) if location.is_local else location.key


def is_below(location: Location, folder: Location) -> bool:
    """Return whether a location is in a folder, at any depth."""
    return in_same_bucket(location, folder) and real_key(location).startswith(real_key(folder).rstrip("/") + "/")
