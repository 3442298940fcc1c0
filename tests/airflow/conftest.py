"""Real Airflow: a metadata database in a temporary home, DAGs in its DAGs folder, runs by ``dag.test()``."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import Airflow, Log, readme_dag

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DIMENSIONS = 32


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is in this folder runs on a real Airflow."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.airflow)


@pytest.fixture(scope="session")
def dags_folder() -> Path:
    """The DAGs folder, with the DAGs of the tests, of ``example_dags`` and of the README."""
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    shutil.copytree(HERE / "dags", folder / "tests", dirs_exist_ok=True)
    shutil.copytree(ROOT / "example_dags", folder / "example_dags", dirs_exist_ok=True)
    if source := readme_dag(ROOT / "README.md"):
        (folder / "readme.py").write_text(source)
    return folder


@pytest.fixture(scope="session")
def airflow_home(dags_folder: Path) -> Airflow:
    """An Airflow with an empty database."""
    from airflow.utils.db import initdb

    initdb()
    with contextlib.suppress(ImportError):  # Airflow 2 has none
        from airflow.sdk.execution_time import supervisor

        if not hasattr(supervisor.in_process_api_server, "cache_info"):  # 3.1 makes one for each task, which takes long
            supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)
    return Airflow(dags_folder)


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Log:
    """What was logged since the test began: by Airflow's tasks and by the standard library's loggers."""
    caplog.set_level("INFO")
    return Log(capsys, caplog)


@pytest.fixture
def airflow(airflow_home: Airflow, log: Log) -> Airflow:
    """Runs DAGs, and tells what became of them."""
    airflow_home.log = log
    return airflow_home


@pytest.fixture
def vectorize(local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch) -> LocalVectorize:
    """An empty local Vectorize, known to Airflow as the default connection. Nothing is tried again there."""
    connect(monkeypatch, local_vectorize, retry_seconds=0)
    return local_vectorize


@pytest.fixture
def books(vectorize: LocalVectorize) -> LocalVectorize:
    """The same, with an empty index ``books``."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().create_index("books", dimensions=DIMENSIONS, metric="cosine")
    vectorize.clear_requests()
    return vectorize


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., str]:
    """Writes a source of so many rows and returns its path."""

    def write(count: int, name: str = "source.ndjson", *, first: int = 0) -> str:
        path = tmp_path / name
        text = "".join(json.dumps(row(number)) + "\n" for number in range(first, first + count))
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return str(path)

    return write


def row(number: int) -> dict[str, Any]:
    """A vector that differs from all others."""
    return {
        "id": f"book-{number}",
        "values": [number + 1.0, *[0.5] * (DIMENSIONS - 1)],
        "metadata": {"shelf": number % 7},
    }


def connect(monkeypatch: pytest.MonkeyPatch, local: LocalVectorize, **extra: Any) -> None:
    """Make the local Vectorize the default connection."""
    connection = local.connection
    connection["extra"] |= extra
    monkeypatch.setenv("AIRFLOW_CONN_VECTORIZE_DEFAULT", json.dumps(connection))


@pytest.fixture
def after_check(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Callable[[], Any]], None]]:
    """Run something after so many checks of an index: no test has to sleep for it."""
    from airflow_provider_vectorize.visibility.monitor import IndexMonitor

    plans: dict[int, Callable[[], Any]] = {}
    real, checks = IndexMonitor.check, 0

    def check(self: IndexMonitor, requests: Any) -> Any:
        nonlocal checks
        found = real(self, requests)
        checks += 1
        if checks in plans:
            plans.pop(checks)()
        return found

    monkeypatch.setattr(IndexMonitor, "check", check)
    yield plans.__setitem__
    assert not plans, f"there were fewer than {min(plans)} checks"
