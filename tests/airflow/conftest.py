"""Fixtures for a real Airflow: a database in a temporary home, a DAGs folder, and runs by ``dag.test()``."""

from __future__ import annotations

import contextlib
import functools
import gzip
import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.airflow.runs import AIRFLOW_3_0, Airflow, Log, query, readme_dag, runs_here

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DIMENSIONS = 32


@pytest.fixture(scope="session")
def dags_folder() -> Path:
    """Return the DAGs folder with the DAGs of the tests, of ``example_dags`` and of the README."""
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    shutil.copytree(HERE / "dags", folder / "tests", dirs_exist_ok=True)
    newer = [path.name for path in (ROOT / "example_dags").glob("*.py") if not runs_here(path)]
    ignore = shutil.ignore_patterns(*newer, "recipes")  # test_recipes.py adds these one by one
    shutil.copytree(ROOT / "example_dags", folder / "example_dags", ignore=ignore, dirs_exist_ok=True)
    if source := readme_dag(ROOT / "README.md"):
        (folder / "readme.py").write_text(source)
    return folder


@pytest.fixture(scope="session")
def airflow_home(dags_folder: Path) -> Airflow:
    """Create an Airflow with an empty database."""
    if (
        AIRFLOW_3_0
    ):  # structlog draws its tracebacks as boxes, which break messages into lines and show local variables.
        structlog = importlib.import_module("structlog")
        renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])
    from airflow.utils.db import initdb

    initdb()
    with contextlib.suppress(ImportError):  # Airflow 2 has no task SDK
        from airflow.sdk.execution_time import supervisor

        if not hasattr(supervisor.in_process_api_server, "cache_info"):  # Airflow 3.1 slowly creates one per task
            supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)
    return Airflow(dags_folder)


@pytest.fixture(autouse=True)
def without_handover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let triggers end at once, because ``dag.test()`` has no scheduler to wait for."""
    from airflow_provider_vectorize.triggers import mutation

    monkeypatch.setattr(mutation, "HANDOVER_SECONDS", 0.0)


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Log:
    """Capture what Airflow's tasks and the loggers of the standard library log during the test."""
    caplog.set_level("INFO")
    return Log(capsys, caplog)


@pytest.fixture
def airflow(airflow_home: Airflow, log: Log) -> Airflow:
    """Return an Airflow that runs DAGs and captures their logs."""
    airflow_home.log = log
    return airflow_home


@pytest.fixture
def store(airflow_home: Airflow) -> None:
    """Skip the test if Airflow has no task state store."""
    if not query("select 1 from sqlite_master where name = 'task_state_store'"):
        pytest.skip("this Airflow has no task state store")


@pytest.fixture
def vectorize(local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch) -> LocalVectorize:
    """Return an empty local Vectorize as Airflow's default connection, without retries of requests."""
    connect(monkeypatch, local_vectorize, retry_seconds=0)
    return local_vectorize


@pytest.fixture
def books(vectorize: LocalVectorize) -> LocalVectorize:
    """Return a local Vectorize as the default connection, with an empty index ``books``."""
    from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

    VectorizeHook().create_index("books", dimensions=DIMENSIONS, metric="cosine")
    vectorize.clear_requests()
    return vectorize


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a source with the given number of rows and returns its path."""

    def write(count: int, name: str = "source.ndjson", *, first: int = 0) -> str:
        path = tmp_path / name
        text = "".join(json.dumps(row(number)) + "\n" for number in range(first, first + count))
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return str(path)

    return write


def row(number: int) -> dict[str, Any]:
    """Return a vector that differs from the vectors of all other numbers."""
    return {
        "id": f"book-{number}",
        "values": [number + 1.0, *[0.5] * (DIMENSIONS - 1)],
        "metadata": {"shelf": number % 7},
    }


def connect(monkeypatch: pytest.MonkeyPatch, local: LocalVectorize, **extra: Any) -> None:
    """Define the default connection so that it points to the local Vectorize."""
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
