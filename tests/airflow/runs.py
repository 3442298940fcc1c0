"""Runs of DAGs, and what is left of them in the metadata database."""

from __future__ import annotations

import inspect
import json
import os
import re
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Log:
    """Airflow 3's tasks log by structlog, to standard output; libraries log by the standard library."""

    capsys: pytest.CaptureFixture[str]
    caplog: pytest.LogCaptureFixture
    _read: str = ""

    @property
    def text(self) -> str:
        captured = self.capsys.readouterr()
        self._read += captured.out + captured.err
        return self._read + self.caplog.text


@dataclass(frozen=True)
class Run:
    """A DAG run that ended."""

    dag_id: str
    run_id: str
    state: str

    def states(self) -> dict[str, str]:
        """Of each task; ``task[0]`` and so on for mapped ones."""
        found = query(
            "select task_id, map_index, state from task_instance where dag_id = ? and run_id = ?",
            self.dag_id,
            self.run_id,
        )
        return {task if index < 0 else f"{task}[{index}]": state for task, index, state in found}

    def tries(self, task_id: str) -> int:
        """How often a task was tried."""
        ((number,),) = query(
            "select try_number from task_instance where dag_id = ? and run_id = ? and task_id = ?",
            self.dag_id,
            self.run_id,
            task_id,
        )
        return int(number)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """A value as it stands in the database."""
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
        """The keys a task pushed."""
        found = query(
            "select key from xcom where dag_id = ? and run_id = ? and task_id = ?", self.dag_id, self.run_id, task_id
        )
        return {key for (key,) in found}


class Airflow:
    """Runs the DAGs of the DAGs folder in this process.

    :param folder: the DAGs folder.
    """

    log: Log

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bag: Any = None

    @property
    def bag(self) -> Any:
        """The DAGs, parsed once."""
        if self._bag is None:
            try:
                from airflow.dag_processing.dagbag import DagBag
            except ImportError:  # before 3.2
                from airflow.models.dagbag import DagBag

            self._bag = DagBag(self._folder)
            if not query("select 1 from sqlite_master where name = 'dag_bundle'"):
                self._bag.sync_to_db()  # Airflow 2 does not do that for dag.test(), and knows no assets without it
        return self._bag

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, **options: Any) -> Run:
        """A manual run, with triggers in line.

        :param conf: what the user gives to the run.
        :param options: of ``dag.test()``.
        """
        assert not self.bag.import_errors
        dag = self.bag.dags[dag_id]
        for task in dag.tasks:  # nobody waits five minutes for a second try here
            if getattr(task, "retry_delay", None) and hasattr(task, "execute"):
                task.retry_delay = timedelta(0)
        run = dag.test(run_conf=conf, **options)
        return Run(dag_id, run.run_id, str(getattr(run.state, "value", run.state)))

    def clear(self, run: Run) -> None:
        """What the button "Clear" does to a run."""
        from airflow.models.taskinstance import TaskInstance, clear_task_instances
        from airflow.utils.session import create_session

        with create_session() as session:
            found = session.query(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id).all()
            clear_task_instances(found, session)

    def set_max_tries(self, run: Run, max_tries: int) -> None:
        """Undo what a clear did to the number of tries, as a DAG with fewer retries does."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        with create_session() as session:
            for instance in session.query(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.run_id):
                instance.max_tries = max_tries

    def again(self, run: Run, task_id: str) -> None:
        """Run a task once more, as ``dag.test()`` does."""
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
            _run_task(ti=instance, task=task, run_triggerer=True)


def query(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the metadata database, past Airflow's models."""
    connection = sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def takes(function: Any, parameter: str) -> bool:
    """Whether this Airflow's function has a parameter."""
    return parameter in inspect.signature(function).parameters


def readme_dag(readme: Path) -> str | None:
    """The block of Python in the README that defines the DAG, as it stands."""
    blocks = re.findall(r"^```python\n(.*?)^```$", readme.read_text(), re.DOTALL | re.MULTILINE)
    return next((block for block in blocks if re.search(r"\bDAG\(|@dag\b", block)), None)
