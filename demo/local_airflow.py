"""A real Airflow, with a home of its own, as the demo holds it: environment, processes, REST API, logs."""

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

KEEP = Path(__file__).with_name("keep.py")
#: A task that would be tried again in some minutes has failed, too: the demo waits for nobody.
FAILED = ("failed", "up_for_retry")


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class LocalAirflow:
    """Scheduler, triggerer, DAG processor and API server, on 127.0.0.1 only.

    :param home: its folder; used again by the next run.
    :param dags: the folder with DAGs.
    :param settings: further environment: connections, Variables.
    :param preferred_port: of UI and API, if it is free.
    """

    def __init__(self, home: Path, dags: Path, settings: Mapping[str, str], preferred_port: int = 0) -> None:
        self.home = home
        self.port = free_port(preferred_port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = self._environment_with(dags, settings)
        self._keeper: subprocess.Popen[str] | None = None
        self._token = ""
        # The API is on this machine: no proxy.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _environment_with(self, dags: Path, settings: Mapping[str, str]) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return own | {
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
            # The demo starts its runs itself, also when it is left running at two in the morning.
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **settings,
        }

    # ---------------------------------------------------------------- its life

    def start(self) -> None:
        """Start it, and return at once."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._keeper = subprocess.Popen(
            [sys.executable, str(KEEP)],
            env=self._environment,
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends
            stdout=subprocess.PIPE,
            stderr=open(self.home / "keep.log", "w"),  # noqa: SIM115 - the process keeps it
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End all its processes. Stopping what has ended is fine."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        with suppress(OSError):
            keeper.stdin.close()
        keeper.wait()

    def check(self) -> None:
        """Raise if one of its processes has ended."""
        assert self._keeper is not None
        if self._keeper.poll() is None:
            return
        assert self._keeper.stdout is not None
        name = (self._keeper.stdout.read().split() or ["keep"])[0]
        log = self.home / f"{name}.log"
        raise DemoError(f"Airflow's {name} ended by itself. The end of {log}:\n{tail(log.read_text())}")

    def wait_until_ready(self, dag_id: str, seconds: float) -> None:
        """Until all its parts are healthy and have read the DAG file as it is now."""
        began = datetime.now(UTC)
        missing = "the API server"
        for _ in self._polls(seconds):
            with suppress(OSError):
                health = self.api("GET", "monitor/health")
                missing = ", ".join(name for name, state in health.items() if state["status"] != "healthy")
                if missing:
                    continue
                missing = f"the DAG {dag_id}"
                for error in self.api("GET", "importErrors")["import_errors"]:
                    raise DemoError(f"Airflow cannot import {error['filename']}:\n{error['stack_trace']}")
                dags = {dag["dag_id"]: dag for dag in self.api("GET", "dags")["dags"]}
                if dag_id in dags and _time(dags[dag_id]["last_parsed_time"]) > began:
                    return
        raise DemoError(f"Airflow is not ready after {seconds:.0f} s; missing: {missing}. Its logs are in {self.home}.")

    def _polls(self, seconds: float) -> Iterator[None]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            yield
            time.sleep(0.3)

    # ---------------------------------------------------------------- what it does

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run, the only one; its id."""
        for run in self.api("GET", f"dags/{dag_id}/dagRuns?limit=100&state=queued&state=running")["dag_runs"]:
            # Left over from a demo that was cut off.
            self.api("PATCH", f"dags/{dag_id}/dagRuns/{run['dag_run_id']}", {"state": "failed"})
        self.api("PATCH", f"dags/{dag_id}", {"is_paused": False})
        return str(self.api("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def follow(self, dag_id: str, run_id: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Its task instances, each whenever its state has changed, until the run has ended well."""
        states: dict[str, str] = {}
        for _ in self._polls(seconds):
            try:
                run = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")
                tasks = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
            except OSError:
                continue  # it is ending, and check() will say why
            for task in sorted(tasks, key=lambda task: task["start_date"] or "~"):
                if task["state"] != states.get(task["task_id"]):
                    states[task["task_id"]] = task["state"]
                    yield task
                if task["state"] in FAILED:
                    raise DemoError(f"The task {task['task_id']} failed:\n{self.log_tail(task)}")
            if run["state"] == "success":
                return
            if run["state"] == "failed":
                raise DemoError(f"The run failed: {states}")
        raise DemoError(f"The run has not ended after {seconds:.0f} s: {states}")

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.api("GET", f"{path}?stringify=false")["value"]

    def log_tail(self, task: Mapping[str, Any]) -> str:
        """The end of a task's last log."""
        folder = self.home / "logs" / f"dag_id={task['dag_id']}" / f"run_id={task['dag_run_id']}"
        logs = sorted((folder / f"task_id={task['task_id']}").glob("*.log"), key=lambda log: log.stat().st_mtime)
        if not logs:
            return "    (it has no log)"
        return tail("\n".join(_readable(line) for line in logs[-1].read_text().splitlines())) + f"\n    {logs[-1]}"

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A call of the REST API."""
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
    """The preferred port of 127.0.0.1, or else one that is free."""
    for port in (preferred, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise DemoError("There is no free port on 127.0.0.1.")


def tail(text: str, lines: int = 40) -> str:
    """The last lines, indented."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _readable(line: str) -> str:
    """A line of a task's log, which is JSON, as one would want to read it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    return " ".join([entry.get("level", ""), str(entry.get("event", "")), *errors]).strip()


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)
