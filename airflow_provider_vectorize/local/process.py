"""The process of a local Vectorize: start, stop and restart. Requires only the standard library."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Self


class ServerProcess:
    """A local Vectorize in a separate process, which stops when the process that started it ends."""

    def __init__(self, data_dir: str | Path, arguments: Sequence[str]) -> None:
        """Store the settings of the server without starting it.

        :param data_dir: Directory for all data.
        :param arguments: Command-line options of the server.
        """
        self.port = 0
        self.data_dir = Path(data_dir)
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def _run(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "airflow_provider_vectorize.local", "--port", str(self.port),
            "--data", str(self.data_dir), "--until-stdin-closes", *self._arguments,
        ]  # fmt: skip
        errors = open(self.data_dir / "stderr.log", "ab")  # noqa: SIM115 - the process inherits it
        with errors:
            self._process = subprocess.Popen(  # noqa: S603 - the command is this interpreter and this package
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout is not None
        # The first line arrives once the server listens. It is empty if the process has ended.
        first_line = self._process.stdout.readline()
        if not first_line:
            self._process.wait()
            raise RuntimeError(
                f"Local Vectorize did not start. Its output: {(self.data_dir / 'stderr.log').read_text()}"
            )
        self.port = int(urllib.parse.urlsplit(first_line.split()[-1]).port or 0)

    def stop(self) -> None:
        """Stop the server with SIGTERM, and delete its temporary data. Does nothing if it has stopped."""
        self._send_signal(signal.SIGTERM)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def kill(self) -> None:
        """Kill the server with SIGKILL. :meth:`restart` starts it again with the same data."""
        self._send_signal(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server if it is running, and start it again with the same port and data."""
        self._send_signal(signal.SIGTERM)
        self._run()

    def _send_signal(self, stop_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(stop_signal)
        process.wait(timeout=60)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
