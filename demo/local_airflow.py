"""A real Airflow with its own home, for the demo: its environment, processes, REST API and logs."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SUPERVISOR = Path(__file__).with_name("supervise.py")
#: States in which the demo gives up. It does not wait some minutes for a retry.
FAILED_STATES = ("failed", "up_for_retry")


class DemoError(Exception):
    """The demo cannot continue. The message says why."""


class TaskFailedError(DemoError):
    """A task failed.

    :param task_id: ID of the task.
    :param reason: Message of its exception.
    :param log: End of its log.
    """

    def __init__(self, task_id: str, reason: str, log: str) -> None:
        super().__init__(f"The task {task_id} failed:\n{log}")
        self.task_id = task_id
        self.reason = reason


class LocalAirflow:
    """Scheduler, triggerer, DAG processor and API server, on 127.0.0.1 only.

    :param home: Home folder of Airflow. The next run of the demo uses it again.
    :param dags: Folder with DAGs.
    :param settings: Additional environment variables, for instance connections and Variables.
    :param preferred_port: Port of the UI and API if it is free. Default: any free port.
    """

    def __init__(self, home: Path, dags: Path, settings: Mapping[str, str], preferred_port: int = 0) -> None:
        self.home = home
        self.port = free_port(preferred_port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = self._environment_with(dags, settings)
        self._supervisor: subprocess.Popen[str] | None = None
        self._token = ""
        # Requests to this machine must not use a proxy.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _environment_with(self, dags: Path, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            # Only the demo starts runs, even if it is left running at the scheduled time.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **settings,
        }

    def start(self) -> None:
        """Start all processes, and return without waiting for them."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._supervisor = subprocess.Popen(
            [sys.executable, str(SUPERVISOR)],
            env=self._environment,
            stdin=subprocess.PIPE,  # Closed when this process ends, even if it is killed.
            stdout=subprocess.PIPE,
            stderr=open(self.home / "supervise.log", "w"),  # noqa: SIM115 - the process inherits it
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Stop all processes, if they are running."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        assert supervisor.stdin is not None
        with suppress(OSError):
            supervisor.stdin.close()
        supervisor.wait()

    def check(self) -> None:
        """Check that all processes are running.

        :raises DemoError: A process exited.
        """
        assert self._supervisor is not None
        if self._supervisor.poll() is None:
            return
        assert self._supervisor.stdout is not None
        name = (self._supervisor.stdout.read().split() or ["supervise"])[0]
        log = self.home / f"{name}.log"
        raise DemoError(f"Airflow's {name} exited unexpectedly. The end of {log}:\n{tail(log.read_text())}")

    def wait_until_ready(self, dag_id: str, seconds: float) -> None:
        """Wait until all components are healthy and have parsed the current DAG file.

        :raises DemoError: Airflow is not ready after this time, or cannot import a DAG file.
        """
        started = datetime.now(UTC)
        not_ready = "the API server"
        for _ in self._polls(seconds):
            with suppress(OSError):
                health = self.api("GET", "monitor/health")
                not_ready = ", ".join(name for name, state in health.items() if state["status"] != "healthy")
                if not_ready:
                    continue
                not_ready = f"the DAG {dag_id}"
                for error in self.api("GET", "importErrors")["import_errors"]:
                    raise DemoError(f"Airflow cannot import {error['filename']}:\n{error['stack_trace']}")
                dags = {dag["dag_id"]: dag for dag in self.api("GET", "dags")["dags"]}
                if dag_id in dags and _time(dags[dag_id]["last_parsed_time"]) > started:
                    return
        raise DemoError(
            f"Airflow is not ready after {seconds:.0f} s; not ready: {not_ready}. The logs are in {self.home}."
        )

    def _polls(self, seconds: float) -> Iterator[None]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            yield
            time.sleep(0.3)

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Fail all active runs of a DAG, start a new one, and return its id."""
        for run in self.api("GET", f"dags/{dag_id}/dagRuns?limit=100&state=queued&state=running")["dag_runs"]:
            # This run is left over from an interrupted demo.
            self.api("PATCH", f"dags/{dag_id}/dagRuns/{run['dag_run_id']}", {"state": "failed"})
        self.api("PATCH", f"dags/{dag_id}", {"is_paused": False})
        return str(self.api("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def follow(self, dag_id: str, run_id: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield each task instance whenever its state changes, until the run succeeds.

        :raises TaskFailedError: A task fails.
        :raises DemoError: The run fails, or does not finish in this time.
        """
        states: dict[str, str] = {}
        for _ in self._polls(seconds):
            try:
                run = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")
                tasks = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
            except OSError:
                continue  # The API server exited, and check() reports it.
            for task in sorted(tasks, key=lambda task: task["start_date"] or "~"):
                if task["state"] != states.get(task["task_id"]):
                    states[task["task_id"]] = task["state"]
                    yield task
                if task["state"] in FAILED_STATES:
                    lines = self._log_lines(task)
                    reason = next((line for line in reversed(lines) if "Error: " in line), "")
                    raise TaskFailedError(task["task_id"], reason.partition("Error: ")[2], tail("\n".join(lines)))
            if run["state"] == "success":
                return
            if run["state"] == "failed":
                raise DemoError(f"The run failed: {states}")
        raise DemoError(f"The run has not finished after {seconds:.0f} s: {states}")

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return the return value of a task."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.api("GET", f"{path}?stringify=false")["value"]

    def _log_lines(self, task: Mapping[str, Any]) -> list[str]:
        """Return the log of a task's last attempt, and its path."""
        folder = self.home / "logs" / f"dag_id={task['dag_id']}" / f"run_id={task['dag_run_id']}"
        logs = sorted((folder / f"task_id={task['task_id']}").glob("*.log"), key=lambda log: log.stat().st_mtime)
        if not logs:
            return ["(the task has no log)"]
        return [*(_readable(line) for line in logs[-1].read_text().splitlines()), str(logs[-1])]

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the REST API and return its JSON response."""
        if not self._token:
            self._token = self._call("GET", "/auth/token")["access_token"]
        return self._call(method, f"/api/v2/{path}", body)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise DemoError(f"{method} {path}: {error.status} {error.read().decode()[:500]}") from None


def free_port(preferred: int = 0) -> int:
    """Return the preferred port of 127.0.0.1 if it is free, or else any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise DemoError("There is no free port on 127.0.0.1.")


def tail(text: str, lines: int = 40) -> str:
    """Return the last lines of a text, indented."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _readable(line: str) -> str:
    """Return a line of a task's log, which is JSON, as readable text."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    return " ".join([entry.get("level", ""), str(entry.get("event", "")), *errors]).strip()


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)
