"""Check that an index is still the incarnation that a caller means."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_vectorize.api.models import Index
from airflow_provider_vectorize.errors import InvalidIndexConfigError


def check_created_on(index: Index, created_on: datetime | None) -> None:
    """Check that an index was created at the given time. ``None`` stands for any time.

    :raises InvalidIndexConfigError: The index was created at another time.
    """
    if created_on is None or index.created_on == created_on:
        return
    found = index.created_on.isoformat() if index.created_on else "an unknown time"
    raise InvalidIndexConfigError(
        f'Index "{index.name}" was created at {found}, not at {created_on.isoformat()}, so another run has replaced '
        "it. Two rebuilds must not write into one index. Run the DAG again, with max_active_runs=1."
    )
