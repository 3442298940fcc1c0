"""Run DAGs, and read the results from the metadata database."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import sqlite3
import sys
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

AIRFLOW_3_0 = version("apache-airflow").startswith("3.0.")
needs_airflow_3_1 = pytest.mark.skipif(AIRFLOW_3_0, reason="dag.test() of Airflow 3.0 cannot do this")
#: Lines that Airflow 3.0 prints for a logger of the standard library, whose records pytest captures as well, and those
#: in which ``dag.test()`` itself prints what it masks: the secrets of the connections of all providers.
PRINTED_RECORD = re.compile(r"^\[20\d\d-[^\n]*\n|^[^\n]*Sending request +msg=MaskSecret\([^\n]*\n", re.MULTILINE)


@dataclass
class Log:
    """The log of tasks. Airflow 3 logs to standard output with structlog, libraries use the standard library."""

    capsys: pytest.CaptureFixture[str]
    caplog: pytest.LogCaptureFixture
    _read: str = ""

    @property
    def text(self) -> str:
        captured = self.capsys.readouterr()
        printed = captured.out + captured.err
        self._read += PRINTED_RECORD.sub("", printed) if AIRFLOW_3_0 else printed
        return self._read + self.caplog.text


@dataclass(frozen=True)
class Run:
    """A finished DAG run."""

    dag_id: str
    run_id: str
    state: str

    def states(self) -> dict[str, str]:
        """Return the state of each task. Mapped tasks are named ``task[0]`` and so on."""
        rows = query(
            "select task_id, map_index, state from task_instance where dag_id = ? and run_id = ?",
            self.dag_id,
            self.run_id,
        )
        return {task if index < 0 else f"{task}[{index}]": state for task, index, state in rows}

    def tries(self, task_id: str) -> int:
        """Return the number of attempts of a task."""
        ((number,),) = query(
            "select try_number from task_instance where dag_id = ? and run_id = ? and task_id = ?",
            self.dag_id,
            self.run_id,
            task_id,
        )
        return int(number)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom as it is stored in the database."""
        ((value,),) = query(
            "select value from xcom where dag_id = ? and run_id = ? and task_id = ? and key = ? and map_index = ?",
            self.dag_id,
            self.run_id,
            task_id,
            key,
            map_index,
        )
        return json.loads(value) if isinstance(value, (str, bytes)) else value

    def xcom_keys(self, task_id: str) -> set[str]:
        """Return the keys of the XComs that a task pushed."""
        rows = query(
            "select key from xcom where dag_id = ? and run_id = ? and task_id = ?", self.dag_id, self.run_id, task_id
        )
        return {key for (key,) in rows}


class Airflow:
    """Runs the DAGs of the DAGs folder in this process.

    :param folder: The DAGs folder.
    """

    log: Log

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bag: Any = None

    @property
    def bag(self) -> Any:
        """Return the DAGs. They are parsed once."""
        if self._bag is None:
            try:
                from airflow.dag_processing.dagbag import DagBag
            except ImportError:  # before 3.2
                from airflow.models.dagbag import DagBag

            self._bag = DagBag(self._folder)
            if not query("select 1 from sqlite_master where name = 'dag_bundle'"):
                self._bag.sync_to_db()  # Airflow 2 needs this for the assets in dag.test()
        return self._bag

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, **options: Any) -> Run:
        """Run a DAG manually, with triggers in the same process.

        :param conf: Configuration of the run.
        :param options: Options of ``dag.test()``.
        """
        assert not self.bag.import_errors
        dag = self.bag.dags[dag_id]
        for task in dag.tasks:  # so that retries start at once
            if getattr(task, "retry_delay", None) and hasattr(task, "execute"):
                task.retry_delay = timedelta(0)
        run = dag.test(run_conf=conf, **options)
        return Run(dag_id, run.run_id, str(getattr(run.state, "value", run.state)))

    def clear(self, run: Run) -> None:
        """Clear all tasks of a run, as the button "Clear" does."""
        from airflow.models.taskinstance import TaskInstance, clear_task_instances
        from airflow.utils.session import create_session

        with create_session() as session:
            instances = session.query(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id).all()
            clear_task_instances(instances, session)

    def discard_state(self, run: Run) -> None:
        """Delete the state of the tasks of a run, as a clear does in Airflow 3.4 unless the user keeps it."""
        from airflow.models.task_state_store import TaskStateStoreModel
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(TaskStateStoreModel).filter_by(dag_id=run.dag_id, run_id=run.run_id).delete()

    def set_max_tries(self, run: Run, max_tries: int) -> None:
        """Set ``max_tries``, to imitate a clear after ``retries`` was lowered."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        with create_session() as session:
            for instance in session.query(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id):
                instance.max_tries = max_tries

    def run_task_again(self, run: Run, task_id: str) -> None:
        """Run a task again, as ``dag.test()`` does."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.sdk.definitions.dag import _run_task
        from airflow.utils.session import create_session

        task = self.bag.dags[run.dag_id].task_dict[task_id]
        with create_session() as session:
            instance = (
                session.query(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id, task_id=task_id).one()
            )
            instance.try_number += 1
            session.commit()
            if AIRFLOW_3_0:
                instance.task = task
                _run_task(ti=instance, run_triggerer=True)
            else:
                _run_task(ti=instance, task=task, run_triggerer=True)


def query(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Query the metadata database without Airflow's models."""
    connection = sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def has_parameter(function: Any, parameter: str) -> bool:
    """Check whether a function of this version of Airflow has a parameter."""
    return parameter in inspect.signature(function).parameters


def runs_here(dag_file: Path) -> bool:
    """Check whether a DAG file runs on this Airflow. Its docstring says "Requires Airflow 3.0" if it needs that."""
    required = re.search(r"Requires Airflow (\d+)\.(\d+)", dag_file.read_text())
    major, minor, *_ = version("apache-airflow").split(".")
    return required is None or (int(major), int(minor)) >= (int(required[1]), int(required[2]))


def readme_dag(readme: Path) -> str | None:
    """Return the unchanged Python block of the README that defines a DAG."""
    blocks = re.findall(r"^```python\n(.*?)^```$", readme.read_text(), re.DOTALL | re.MULTILINE)
    return next((block for block in blocks if re.search(r"\bDAG\(|@dag\b", block)), None)


def demo_module(name: str) -> ModuleType:
    """Import a module of the demo by its path, because the demo consists of scripts and is not a package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "demo" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
