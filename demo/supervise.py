"""Run Airflow's four processes, and stop all of them when one exits or when the demo ends.

This process leads its own session, and everything that Airflow starts stays in that session. So no process is left over
after Ctrl-C, after a failure, or even after SIGKILL of the demo, which closes the standard input of this process.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

COMPONENTS = {
    "api-server": ["api-server"],
    # The log servers would listen on all interfaces, and the logs are on this disk anyway.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
#: Seconds between SIGTERM and SIGKILL.
STOP_TIMEOUT = 15.0


def main() -> int:
    """Run until the standard input closes, SIGTERM or SIGINT arrives, or a component exits.

    If a component fails, its name is printed, so that the demo can show the end of its log.
    """
    home = Path(os.environ["AIRFLOW_HOME"])
    lock = _wait_for_lock(home / "lock")
    stop_signals = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_signals.append(True))
    try:
        if not _create_database(home):
            print("db-migrate", flush=True)
            return 1
        running = {name: _start(home, name, arguments) for name, arguments in COMPONENTS.items()}
        while not stop_signals:
            with suppress(InterruptedError):
                if select.select([sys.stdin], [], [], 0.25)[0]:
                    return 0
            for name, process in running.items():
                if process.poll() is not None:
                    print(name, flush=True)
                    return 1
        return 0
    finally:
        _stop_session()
        lock.close()


def _wait_for_lock(path: Path) -> IO[str]:
    """Wait for the lock, because the supervisor of an earlier demo may still be stopping its processes."""
    lock = open(path, "w")  # noqa: SIM115 - held until the process exits
    deadline = time.monotonic() + 2 * STOP_TIMEOUT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                print("lock", flush=True)
                raise
            time.sleep(0.2)
        else:
            return lock


def _create_database(home: Path) -> bool:
    """Create the database unless a complete one exists. Return whether this succeeded."""
    completed = home / "database-is-complete"
    if not completed.exists():
        for name in ("airflow.cfg", "airflow.db"):  # leftovers of an interrupted run
            (home / name).unlink(missing_ok=True)
        if _start(home, "db-migrate", ["db", "migrate"]).wait() != 0:
            return False
        completed.touch()
    return True


def _start(home: Path, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    with open(home / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _stop_session() -> None:
    """Stop every other process of this session with SIGTERM, and the remaining ones with SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in _other_processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        while time.monotonic() < deadline and _other_processes():
            time.sleep(0.1)


def _other_processes() -> list[psutil.Process]:
    """Return the other processes of this session, without zombies."""
    processes = []
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == os.getsid(0) and process.pid != os.getpid():
                processes.append(process)
    return [process for process in processes if process.info["status"] != psutil.STATUS_ZOMBIE]


if __name__ == "__main__":
    sys.exit(main())
