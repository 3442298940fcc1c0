"""A running local Vectorize, as a test or a demo holds it. Needs only the standard library."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import urllib.parse
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from airflow_provider_vectorize.local.engine.digest import digest_of

ACCOUNT_ID = "0123456789abcdef0123456789abcdef"
TOKEN = "local-token"  # noqa: S105 - opens nothing but the local Vectorize


@dataclass(frozen=True)
class RecordedRequest:
    """A request that arrived. It has no credentials."""

    method: str
    path: str
    query: str
    operation: str
    """``upsert``, ``query``, ``info`` ...: the names that :meth:`LocalVectorize.fail` takes."""
    started: float
    ended: float | None
    status: int | None
    """None while it is being answered, and when the connection was cut."""
    body_bytes: int
    vectors: int
    mutation_id: str | None
    in_block: bool
    """Whether it came while its token was blocked for going over the budget."""
    fault: str | None


class LocalVectorize:
    """A local Vectorize in a process of its own. It ends with the process that started it.

    With a lag of 0, a read sees every write acknowledged before it.
    """

    def __init__(self, data_dir: str | Path, arguments: Sequence[str]) -> None:
        """Use :meth:`start`."""
        self.account_id = ACCOUNT_ID
        self.token = TOKEN
        self.port = 0
        self.data_dir = Path(data_dir)
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def start(
        cls,
        data_dir: str | Path | None = None,
        *,
        lag: float = 0.0,
        port: int = 0,
        budget: str | None = None,
        restrict: bool = True,
        extra_args: Sequence[str] = (),
    ) -> LocalVectorize:
        """Starts one and returns when it listens. Without ``data_dir`` its data go when it is stopped.

        ``budget`` is ``"30/10"`` for 30 requests in 10 seconds; the default is Cloudflare's, 1,200 in 300 seconds.
        With ``restrict=False`` it takes any well-formed account id and token, not only its own.
        ``extra_args`` are options of its command line.
        """
        arguments = ["--lag", str(lag), *extra_args]
        if restrict:
            arguments += ["--account-id", ACCOUNT_ID, "--token", TOKEN]
        if budget is not None:
            arguments += ["--budget", budget]
        temporary = None
        if data_dir is None:
            temporary = tempfile.TemporaryDirectory(prefix="local-vectorize-", ignore_cleanup_errors=True)
            data_dir = temporary.name
        local = cls(data_dir, arguments)
        local.port = port
        local._temporary = temporary
        local._run()
        return local

    def _run(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "airflow_provider_vectorize.local", "--port", str(self.port),
            "--data", str(self.data_dir), "--until-stdin-closes", *self._arguments,
        ]  # fmt: skip
        errors = open(self.data_dir / "stderr.log", "ab")  # noqa: SIM115 - the process keeps it
        with errors:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this package
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()  # comes when it listens, or when it has ended
        if not first:
            self._process.wait()
            raise RuntimeError(f"the local Vectorize did not start: {(self.data_dir / 'stderr.log').read_text()}")
        self.port = int(urllib.parse.urlsplit(first.split()[-1]).port or 0)

    # Where it is

    @property
    def base_url(self) -> str:
        """What a client takes for ``https://api.cloudflare.com/client/v4``."""
        return f"http://127.0.0.1:{self.port}/client/v4"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection, as JSON has it."""
        return {
            "conn_type": "vectorize",
            "host": self.base_url,
            "password": self.token,
            "extra": {"account_id": self.account_id},
        }

    def airflow_env(self, conn_id: str = "vectorize_default") -> dict[str, str]:
        """The environment variable that gives Airflow the connection."""
        return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(self.connection)}

    # Its life

    def stop(self) -> None:
        """Ends it cleanly. Stopping what has ended is fine."""
        self._end(signal.SIGTERM)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def kill(self) -> None:
        """Ends it with SIGKILL, whatever it is doing; :meth:`restart` starts it on the same data."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Ends it cleanly if it runs, and starts it on the same port and data."""
        self._end(signal.SIGTERM)
        self._run()

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(with_signal)
        process.wait(timeout=60)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> LocalVectorize:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # When writes show

    def set_lag(self, seconds: float) -> None:
        """How long after its acknowledgement a write is folded in."""
        self.control("POST", "lag", seconds=seconds)

    def hold(self) -> None:
        """From now on no write shows, until :meth:`release` or :meth:`process`."""
        self.control("POST", "hold")

    def release(self) -> None:
        """Ends :meth:`hold`."""
        self.control("POST", "release")

    def process(
        self, index: str | None = None, *, batches: int | None = None, mutations: int | None = None
    ) -> list[dict[str, Any]]:
        """Fold pending mutations of one index or all of them now, even after :meth:`hold`.

        ``batches`` limits the number of batches, ``mutations`` the mutations in each. Returns the batches, each with
        its ``index_name``, ``mutation_ids``, ``vectors`` and ``processed_at``."""
        answer = self.control("POST", "process", index=index, batches=batches, mutations=mutations)
        return list(answer["folded"])

    def foreign_mutation(self, index_name: str, *, times: int = 1) -> list[str]:
        """Somebody else writes to the index: no vector changes, but the watermark moves when it is folded."""
        return list(self.control("POST", "foreign", index=index_name, times=times)["mutation_ids"])

    def shift_clock(self, seconds: float) -> None:
        """Its clock is so far ahead of this machine's: cursors, rate limits and lag expire without waiting."""
        self.control("POST", "clock", shift=seconds)

    # Faults

    def fail(
        self,
        fault: str,
        *,
        operation: str | None = None,
        method: str | None = None,
        path_contains: str | None = None,
        times: int | None = 1,
        after: int = 0,
        probability: float = 1.0,
        seed: int = 0,
        **options: Any,
    ) -> None:
        """The next ``times`` matching requests meet a fault (None: all of them); ``after`` lets some pass first.

        The faults and their options are in docs/local-vectorize.md.
        """
        match = {"operation": operation, "method": method, "path_contains": path_contains}
        self.control(
            "POST", "faults", fault=fault, match={key: value for key, value in match.items() if value is not None},
            times=times, after=after, probability=probability, seed=seed, **options,
        )  # fmt: skip

    def clear_faults(self) -> None:
        """Also ends :meth:`flap`."""
        self.control("DELETE", "faults")

    def flap(
        self, index: str | None = None, *, probability: float | None = None, times: int | None = None, seed: int = 0
    ) -> None:
        """Reads now and then answer from before the last batch: every other one, or with a probability."""
        self.control("POST", "flap", index=index, probability=probability, times=times, seed=seed)

    def steady(self) -> None:
        """Ends :meth:`flap`."""
        self.control("DELETE", "flap")

    def set_budget(self, allowance: str) -> None:
        """``"30/10"``: 30 requests in 10 seconds. Starts counting anew."""
        self.control("POST", "budget", allowance=allowance)

    # What happened

    def requests(self, operation: str | None = None) -> list[RecordedRequest]:
        """Every request to the API since the last reset, in the order of arrival."""
        found = [RecordedRequest(**one) for one in self.control("GET", "requests")["requests"]]
        return [one for one in found if operation in (None, one.operation)]

    def clear_requests(self) -> None:
        self.control("DELETE", "requests")

    def dump(self, index_name: str) -> dict[str, str]:
        """For each id that a read sees, its :meth:`digest`."""
        return dict(self.control("GET", "dump", index=index_name)["vectors"])

    def count(self, index_name: str) -> int:
        """How many vectors a read sees."""
        for index in self.status()["indexes"]:
            if index["name"] == index_name:
                return int(index["vectors"])
        raise KeyError(index_name)

    def status(self) -> dict[str, Any]:
        """Everything about it: indexes, pending mutations, lag, limits, budget, faults."""
        return self.control("GET", "")

    @staticmethod
    def digest(values: Iterable[float], namespace: str | None = None, metadata: object = None) -> str:
        """What :meth:`dump` says of such a vector, once its values are float32."""
        packed = array("f", values)
        if sys.byteorder == "big":
            packed.byteswap()
        return digest_of(packed.tobytes(), namespace, metadata)

    def reset(self) -> None:
        """Makes it as it was when it was started, but empty: indexes, faults, requests, lag, budget and clock."""
        self.control("POST", "reset")

    def control(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """A call of the control API. Raises RuntimeError with what it says is wrong."""
        target, data = f"/__local__/{path}", json.dumps(body)
        if method == "GET":
            target, data = f"{target}?{urllib.parse.urlencode(body)}", ""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, target, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = dict(json.load(response))
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise RuntimeError(answer.get("error", response.status))
        return answer
