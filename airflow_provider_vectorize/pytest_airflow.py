"""Fixtures that run DAGs in pytest on a temporary Airflow, against the local Vectorize.

Airflow is imported only when a test requests one of them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_vectorize.local.handle import LocalVectorize

#: Prefixes of environment variables that configure another Airflow. Connections and Variables are kept.
OTHER_AIRFLOW = ("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG")


class TemporaryAirflow:
    """An Airflow with an empty database in a temporary home.

    :param home: The ``AIRFLOW_HOME``.
    :param dags_folder: The folder that contains the DAGs.
    """

    def __init__(self, home: Path, dags_folder: Path) -> None:
        self.home = home
        self.dags_folder = dags_folder
        self._dags: Any = None

    def dag(self, dag_id: str) -> Any:
        """Return a DAG of the DAGs folder. If it does not exist, fail the test and report all import errors."""
        dags = self._read_dags()
        if dag_id not in dags.dags:
            known = ", ".join(sorted(dags.dags)) or "none"
            errors = [f"Airflow cannot import {path}:\n{reason}" for path, reason in dags.import_errors.items()]
            message = f"The DAG {dag_id!r} does not exist in {self.dags_folder}. Existing DAGs: {known}."
            pytest.fail("\n".join([message, *errors]), pytrace=False)
        return dags.dags[dag_id]

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> Any:
        """Run a DAG in this process with ``dag.test()``, including deferred tasks.

        :param dag_id: ID of a DAG in the DAGs folder.
        :param conf: Configuration of the run, as a user would pass it.
        :return: Airflow's ``DagRun``. Its ``state`` is ``"success"`` if the run succeeded.
        """
        return self.dag(dag_id).test(run_conf=dict(conf or {}))

    def _read_dags(self) -> Any:
        if self._dags is None:
            try:
                from airflow.dag_processing.dagbag import DagBag
            except ImportError:  # before Airflow 3.2
                from airflow.models.dagbag import DagBag

            self._dags = DagBag(str(self.dags_folder))
            if not _has_bundles():
                self._dags.sync_to_db()  # Airflow 2 needs this for assets
        return self._dags


@pytest.fixture(scope="session")
def airflow_dags_folder(pytestconfig: pytest.Config) -> Path:
    """Return the folder that ``temporary_airflow`` reads DAGs from.

    Override this fixture to change it. Default: ``dags`` in pytest's root directory.
    """
    return pytestconfig.rootpath / "dags"


@pytest.fixture(scope="session")
def temporary_airflow_home(airflow_dags_folder: Path) -> Iterator[TemporaryAirflow]:
    """Create one Airflow for the whole session, with an empty database in a temporary home."""
    if "airflow.configuration" in sys.modules:
        pytest.fail(
            "Airflow was imported before this fixture could set AIRFLOW_HOME, so the test could change the database of "
            "another Airflow. Import airflow, and modules that import it, inside test functions, or run these tests in "
            "a separate pytest process.",
            pytrace=False,
        )
    if not airflow_dags_folder.is_dir():
        pytest.fail(
            f"The DAGs folder {airflow_dags_folder} does not exist. Define a fixture airflow_dags_folder with "
            'scope="session" in conftest.py that returns the path of your DAGs folder.',
            pytrace=False,
        )
    home = Path(tempfile.mkdtemp(prefix="airflow-home-"))
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(OTHER_AIRFLOW)]:
            environment.delenv(name)
        environment.setenv("AIRFLOW_HOME", str(home))
        environment.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(airflow_dags_folder))
        environment.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        from airflow.utils.db import initdb

        initdb()
        yield TemporaryAirflow(home, airflow_dags_folder)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def temporary_airflow(
    temporary_airflow_home: TemporaryAirflow, local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> TemporaryAirflow:
    """Return a temporary Airflow whose connection ``vectorize_default`` points to an empty local Vectorize."""
    for name, value in local_vectorize.airflow_env().items():
        monkeypatch.setenv(name, value)
    return temporary_airflow_home


def _has_bundles() -> bool:
    try:
        import airflow.dag_processing.bundles.manager  # noqa: F401
    except ImportError:
        return False
    return True
