"""Draw a sample of the IDs in the state of a sync."""

from __future__ import annotations

import random

import numpy as np

from airflow_provider_vectorize.checks.expectation import SAMPLES, StateSample
from airflow_provider_vectorize.errors import SourceError
from airflow_provider_vectorize.rows.hashing import UNKNOWN
from airflow_provider_vectorize.sync.columns import read_columns
from airflow_provider_vectorize.sync.folder import StateFolder
from airflow_provider_vectorize.sync.state import read_state

#: IDs are drawn a few times, because the content of some may be unknown.
_DRAWN = 4 * SAMPLES


def sample_state(folder: StateFolder) -> StateSample:
    """Return a random sample of the IDs whose content is known. The same generation gives the same sample.

    :raises SourceError: There is no state, or it cannot be read.
    :raises ConfigError: A package that reads it is not installed.
    """
    state = read_state(folder)
    if state is None:
        raise SourceError(
            f"{folder.uri} has no state of a sync. Run the sync first, or pass its folder.", uri=folder.uri
        )
    rng = random.Random(str(state.generation))  # noqa: S311 - not a secret
    drawn = np.array(sorted(rng.sample(range(state.columns.ids), min(_DRAWN, state.columns.ids))), np.int64)
    hashes: dict[str, int] = {}
    known = first = 0
    for batch in read_columns(folder, state.columns):
        content = batch.column("hash").to_numpy()
        known += int(np.count_nonzero(content != UNKNOWN))
        positions = drawn[(drawn >= first) & (drawn < first + len(batch))] - first
        ids = batch.column("id")
        for position in positions[content[positions] != UNKNOWN].tolist():
            hashes[ids[position].as_py()] = int(content[position])
        first += len(batch)
    chosen = rng.sample(sorted(hashes), min(SAMPLES, len(hashes)))
    return StateSample(
        state.index_name,
        state.created_on,
        known,
        {vector_id: hashes[vector_id] for vector_id in chosen},
        state.changed_by,
    )
