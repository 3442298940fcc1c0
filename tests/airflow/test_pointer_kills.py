"""A publication, replacement or pruning that is killed at any line leaves a good pointer in an Airflow Variable.

The Variable is in a real Airflow database. A task reads and writes it through Airflow's API server, which calls the
same class, so the lines of that class are steps as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.airflow_support import variables
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.switch_over.pointer import PointerStore
from tests.airflow.runs import Airflow, query
from tests.switch_over.killing import SCENARIOS, TRACED, kill_at_every_step

#: Not the Variable of the example DAGs, because all test files of a process share a database.
VARIABLE = "pointer_of_kills"


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_switch_over_killed_at_every_line_keeps_complete_indexes(
    airflow_home: Airflow, local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    from airflow import settings
    from airflow.models import variable

    monkeypatch.setattr(variables, "Variable", variable.Variable)
    engine: Any = settings.engine
    parent = os.getpid()

    def open_store(client: VectorizeClient) -> PointerStore:
        if os.getpid() != parent:
            engine.dispose(close=False)  # a forked child must not share connections
        return variables.VariablePointerStore(VARIABLE)

    traced = {*TRACED, str(Path(variable.__file__))}
    kill_at_every_step(
        local_vectorize,
        SCENARIOS[scenario],
        open_store,
        traced=traced,
        read_stored=lambda: query("select key, val from variable"),
    )
