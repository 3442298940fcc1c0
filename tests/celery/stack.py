"""A deployment of Airflow on one machine, on loopback only: PostgreSQL, Redis, two Celery workers and the rest."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import requests

POSTGRES_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
#: Processes that Airflow depends on.
BACKENDS = ("redis", "postgres")
#: Seconds between the first signal and SIGKILL.
STOP_TIMEOUT = 10.0
PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The test cannot continue. The message says why."""


class Stack:
    """Starts the processes, each as the leader of a session, and stops them with all their child processes.

    :param folder: Folder for data and logs.
    :param dags: Folder with DAGs.
    :param settings: Additional environment variables.
    """

    def __init__(self, folder: Path, dags: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = {name: free_port() for name in ("postgres", "redis", "api")}
        self.url = f"http://127.0.0.1:{self._ports['api']}"
        self._environment = self._environment_with(dags, settings)
        self._session = requests.Session()
        self._session.trust_env = False  # Requests to this machine must not use a proxy.

    def _environment_with(self, dags: Path, settings: Mapping[str, str]) -> dict[str, str]:
        database = f"postgresql+psycopg2://airflow@127.0.0.1:{self._ports['postgres']}/airflow"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return inherited | {
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
            ),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{self._ports['redis']}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._ports["api"]),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            # Airflow detects a lost worker after 20 seconds instead of 300, and its queued tasks after 30.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # Only the test starts runs, even at the scheduled time.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **settings,
        }

    def start_database_and_broker(self) -> None:
        """Start Redis, and PostgreSQL as a user other than root, and create Airflow's tables."""
        if not POSTGRES_FOLDERS or not shutil.which("redis-server"):
            raise StackError("PostgreSQL or Redis is not installed. Run make test-celery, which installs them.")
        account = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
        data = self.folder / "postgres"
        data.mkdir()
        os.chown(data, account.pw_uid, account.pw_gid)
        user: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid} if os.getuid() == 0 else {}
        self.run(
            "initdb", [POSTGRES_FOLDERS[0] / "initdb", "-D", data, "-U", "airflow", "-A", "trust", "-E", "UTF8"], **user
        )
        port = str(self._ports["postgres"])
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}", "-c", "fsync=off"]
        self.start("postgres", [POSTGRES_FOLDERS[0] / "postgres", "-D", data, "-p", port, *options], **user)
        redis = ["redis-server", "--port", str(self._ports["redis"]), "--bind", "127.0.0.1", "--save", ""]
        self.start("redis", [*redis, "--dir", self.folder])
        self._wait(
            "PostgreSQL", 30, lambda: _is_listening(self._ports["postgres"]) and _is_listening(self._ports["redis"])
        )
        self.run(
            "createdb", [POSTGRES_FOLDERS[0] / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "airflow", "airflow"]
        )
        self.run("db-migrate", self._airflow("db", "migrate"))

    def start_airflow(self, dag_id: str) -> None:
        """Start all processes of Airflow, without log servers, and wait until it is healthy and knows the DAG."""
        self.start("api-server", self._airflow("api-server"))
        self.start("scheduler", self._airflow("scheduler", "--skip-serve-logs"))
        self.start("dag-processor", self._airflow("dag-processor"))
        self.start("triggerer", self._airflow("triggerer", "--skip-serve-logs"))
        for name in ("worker-1", "worker-2"):
            self.start(name, self._airflow("celery", "worker", "--skip-serve-logs", "-H", f"{name}@localhost"))
        self._wait("Airflow", 180, lambda: self._is_ready(dag_id))

    def _is_ready(self, dag_id: str) -> bool:
        health = self.api("GET", "monitor/health")
        for error in self.api("GET", "importErrors")["import_errors"]:
            raise StackError(f"Airflow cannot import {error['filename']}:\n{error['stack_trace']}")
        healthy = all(part["status"] == "healthy" for part in health.values())
        workers = all("ready" in self.log(name) for name in ("worker-1", "worker-2"))
        return healthy and workers and dag_id in {dag["dag_id"] for dag in self.api("GET", "dags")["dags"]}

    @staticmethod
    def _airflow(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *arguments]

    def start(self, name: str, command: Sequence[Any], **options: Any) -> None:
        """Start a process that receives SIGTERM when this process ends, even if it is killed."""
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                list(map(str, command)),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_stop_with_parent,  # noqa: PLW1509 - this process has no threads
                **options,
            )

    def run(self, name: str, command: Sequence[Any], **options: Any) -> None:
        """Run a process and wait up to 120 seconds until it succeeds."""
        self.start(name, command, **options)
        if self.running.pop(name).wait(timeout=120):
            raise StackError(f"{name} failed:\n{self.log(name)[-3_000:]}")

    def kill(self, name: str) -> int:
        """Kill a process and all its child processes with SIGKILL, as the loss of a machine would.

        :return: Number of killed processes.
        """
        process = self.running.pop(name)
        killed = _session_processes(process.pid)
        for child in killed:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
        return len(killed)

    def stop(self) -> None:
        """Stop all processes, with SIGKILL if they ignore the first signal. The backends are stopped last."""
        airflow = [process for name, process in self.running.items() if name not in BACKENDS]
        for process in airflow:
            process.send_signal(signal.SIGTERM)
        for process in (*airflow, *(self.running[name] for name in BACKENDS if name in self.running)):
            _stop_process(process, signal.SIGINT if process not in airflow else signal.SIGTERM)
        self.running.clear()

    def check(self) -> None:
        """Check that all processes are running.

        :raises StackError: A process exited.
        """
        for name, process in self.running.items():
            if process.poll() is not None:
                raise StackError(f"{name} exited unexpectedly:\n{self.log(name)[-3_000:]}")

    def log(self, name: str) -> str:
        """Return the output of a process."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _wait(self, what: str, seconds: float, ready: Any) -> None:
        for _ in self.polls(seconds):
            with suppress(requests.RequestException, OSError):
                if ready():
                    return
        raise StackError(f"{what} is not ready after {seconds:.0f} s; the logs are in {self.folder}.")

    def polls(self, seconds: float, pause: float = 0.5) -> Iterator[None]:
        """Yield until the time is over, with a pause after each round.

        :raises StackError: A process exited.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            yield
            time.sleep(pause)

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call Airflow's REST API and return its JSON response."""
        if "Authorization" not in self._session.headers:
            token = self._session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        response = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=30)
        response.raise_for_status()
        return response.json()


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _stop_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _session_processes(leader: int) -> list[psutil.Process]:
    """Return all processes of a session. Tasks of a worker stay in its session, although they have their own group."""
    processes = []
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == leader and process.info["status"] != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def _stop_process(process: subprocess.Popen[bytes], first_signal: signal.Signals) -> None:
    process.send_signal(first_signal)
    deadline = time.monotonic() + STOP_TIMEOUT
    while _session_processes(process.pid) and time.monotonic() < deadline:
        process.poll()
        time.sleep(0.1)
    for remaining in _session_processes(process.pid):
        with suppress(psutil.NoSuchProcess):
            remaining.kill()
    process.wait()
