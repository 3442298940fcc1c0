"""Keeps Airflow's four processes together: when one of them ends, or whoever started this one, all end.

It is the leader of a session of its own, and everything that Airflow starts stays in that session. So nothing is
left over, whatever happens to the demo: Ctrl-C, a failure, even SIGKILL, which closes this process's input.
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
    # The log servers would listen on all interfaces. The logs are on this disk anyway.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
#: Seconds between asking politely and SIGKILL.
PATIENCE = 15.0


def main() -> int:
    """Run until the input closes, SIGTERM comes or a component ends."""
    home = Path(os.environ["AIRFLOW_HOME"])
    lock = _wait_for_lock(home / "lock")
    told_to_stop = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.append(True))
    try:
        if not _has_database(home):
            print("db-migrate", flush=True)
            return 1
        running = {name: _run(home, name, arguments) for name, arguments in COMPONENTS.items()}
        while not told_to_stop:
            with suppress(InterruptedError):
                if select.select([sys.stdin], [], [], 0.25)[0]:
                    return 0
            for name, process in running.items():
                if process.poll() is not None:
                    print(name, flush=True)
                    return 1
        return 0
    finally:
        _end_session()
        lock.close()


def _wait_for_lock(path: Path) -> IO[str]:
    """An earlier one may still be ending its processes."""
    lock = open(path, "w")  # noqa: SIM115 - held as long as the process
    deadline = time.monotonic() + 2 * PATIENCE
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


def _has_database(home: Path) -> bool:
    """Make the database, unless a whole one is there."""
    whole = home / "database-is-whole"
    if not whole.exists():
        for name in ("airflow.cfg", "airflow.db"):  # what an interrupted run left
            (home / name).unlink(missing_ok=True)
        if _run(home, "db-migrate", ["db", "migrate"]).wait() != 0:
            return False
        whole.touch()
    return True


def _run(home: Path, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    with open(home / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _end_session() -> None:
    """End every other process of this session: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        for process in _others():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        while time.monotonic() < deadline and _others():
            time.sleep(0.1)


def _others() -> list[psutil.Process]:
    """The other processes of this session; a zombie is none."""
    found = []
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) == os.getsid(0) and process.pid != os.getpid():
                found.append(process)
    return [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]


if __name__ == "__main__":
    sys.exit(main())
