"""Python handle of a running local Vectorize, for tests and demos. Requires only the standard library."""

from __future__ import annotations

import http.client
import json
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
from airflow_provider_vectorize.local.process import ServerProcess

ACCOUNT_ID = "0123456789abcdef0123456789abcdef"
TOKEN = "local-token"  # noqa: S105 - this token only works with local Vectorize


@dataclass(frozen=True)
class RecordedRequest:
    """A request that the server received, without its credentials."""

    method: str
    path: str
    query: str
    operation: str
    """Name of the operation, such as ``upsert`` or ``query``, as :meth:`LocalVectorize.fail` takes it."""
    started: float
    ended: float | None
    status: int | None
    """None while the request is processed, and if the connection was closed without a response."""
    body_bytes: int
    vectors: int
    mutation_id: str | None
    in_block: bool
    """Whether it arrived during a rate-limit block of its token."""
    fault: str | None
    code: int | None = None
    """The code of the error in the response, or None."""


class LocalVectorize(ServerProcess):
    """A local Vectorize in a separate process, with methods that control its faults, its lag and its clock.

    Start it with :meth:`start`. With a lag of 0, a read sees every write that was acknowledged before it.
    """

    def __init__(self, data_dir: str | Path, arguments: Sequence[str]) -> None:
        """Prepare a handle without a process. Call :meth:`start` instead."""
        super().__init__(data_dir, arguments)
        self.account_id = ACCOUNT_ID
        self.token = TOKEN

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
        """Start a local Vectorize and return once it listens.

        :param data_dir: Directory for all data. Default: a temporary directory, which :meth:`stop` deletes.
        :param lag: Seconds from a write to its visibility.
        :param port: Port to listen on. Default: a free port.
        :param budget: Request budget, such as ``"30/10"`` for 30 requests in 10 seconds. Default: the budget of
            Cloudflare, 1,200 requests in 300 seconds.
        :param restrict: Accept only :attr:`account_id` and :attr:`token`. If false, accept any well-formed pair.
        :param extra_args: Further command-line options of the server.
        :raises RuntimeError: The server did not start. The message contains its output.
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

    # Address and connection

    @property
    def base_url(self) -> str:
        """API base URL. It replaces ``https://api.cloudflare.com/client/v4``."""
        return f"http://127.0.0.1:{self.port}/client/v4"

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection as a dict, in the format of Airflow's JSON connections."""
        return {
            "conn_type": "vectorize",
            "host": self.base_url,
            "password": self.token,
            "extra": {"account_id": self.account_id},
        }

    def airflow_env(self, conn_id: str = "vectorize_default") -> dict[str, str]:
        """Return the environment variable that defines the Airflow connection, as a dict with one entry."""
        return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(self.connection)}

    # Visibility of writes

    def set_lag(self, seconds: float) -> None:
        """Set the seconds from the acknowledgement of a write to its visibility."""
        self.control("POST", "lag", seconds=seconds)

    def hold(self) -> None:
        """Keep all writes pending until :meth:`release` or :meth:`process`."""
        self.control("POST", "hold")

    def release(self) -> None:
        """End :meth:`hold`."""
        self.control("POST", "release")

    def process(
        self, index: str | None = None, *, batches: int | None = None, mutations: int | None = None
    ) -> list[dict[str, Any]]:
        """Process pending mutations now, even after :meth:`hold`.

        :param index: Name of the index. Default: all indexes.
        :param batches: Maximum number of batches. Default: until nothing is pending.
        :param mutations: Maximum number of mutations in each batch. Default: 1,000.
        :return: The batches with ``index_name``, ``batch``, ``mutation_ids``, ``vectors`` and ``processed_at``.
        """
        response = self.control("POST", "process", index=index, batches=batches, mutations=mutations)
        return list(response["folded"])

    def foreign_mutation(self, index_name: str, *, times: int = 1) -> list[str]:
        """Write to the index as another client. The watermark moves once the write is processed, and no vector changes.

        :param times: Number of mutations, at most 100,000.
        :return: The ids of the mutations.
        """
        return list(self.control("POST", "foreign", index=index_name, times=times)["mutation_ids"])

    def shift_clock(self, seconds: float) -> None:
        """Set how many seconds the clock of the server is ahead of this machine.

        Cursors, rate-limit blocks and lag expire without waiting. A second call replaces the first.
        """
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
        """Apply a fault to matching requests. docs/local-vectorize.md lists the faults and their options.

        :param fault: Name of the fault, such as ``rate_limit``.
        :param operation: Match only this operation, such as ``upsert``.
        :param method: Match only this HTTP method.
        :param path_contains: Match only paths that contain this text.
        :param times: Number of requests that get the fault. None: no limit.
        :param after: Number of matching requests that pass before the first fault.
        :param probability: Probability of the fault for each matching request.
        :param seed: Seed of the random number generator.
        :param options: Options of the fault.
        :raises RuntimeError: The fault or an option does not exist, or a value is invalid.
        """
        match = {"operation": operation, "method": method, "path_contains": path_contains}
        self.control(
            "POST", "faults", fault=fault, match={key: value for key, value in match.items() if value is not None},
            times=times, after=after, probability=probability, seed=seed, **options,
        )  # fmt: skip

    def clear_faults(self) -> None:
        """Remove all faults, and end :meth:`flap`."""
        self.control("DELETE", "faults")

    def flap(
        self, index: str | None = None, *, probability: float | None = None, times: int | None = None, seed: int = 0
    ) -> None:
        """Let some reads answer from the state before the last batch.

        :param index: Name of the index. Default: all indexes.
        :param probability: Probability for each read. Default: every second read.
        :param times: Maximum number of such reads. Default: no limit.
        :param seed: Seed of the random number generator.
        """
        self.control("POST", "flap", index=index, probability=probability, times=times, seed=seed)

    def steady(self) -> None:
        """End :meth:`flap`."""
        self.control("DELETE", "flap")

    def set_budget(self, allowance: str) -> None:
        """Set the request budget, such as ``"30/10"`` for 30 requests in 10 seconds, and restart its windows."""
        self.control("POST", "budget", allowance=allowance)

    # State

    def requests(self, operation: str | None = None) -> list[RecordedRequest]:
        """Return the last 100,000 requests since the last reset, in the order of arrival.

        :param operation: Return only requests for this operation, such as ``upsert``.
        """
        requests = [RecordedRequest(**record) for record in self.control("GET", "requests")["requests"]]
        return [request for request in requests if operation in (None, request.operation)]

    def clear_requests(self) -> None:
        """Delete all recorded requests."""
        self.control("DELETE", "requests")

    def dump(self, index_name: str) -> dict[str, str]:
        """Return the :meth:`digest` of each visible vector by id."""
        return dict(self.control("GET", "dump", index=index_name)["vectors"])

    def count(self, index_name: str) -> int:
        """Return the number of visible vectors.

        :raises KeyError: The index does not exist.
        """
        for index in self.status()["indexes"]:
            if index["name"] == index_name:
                return int(index["vectors"])
        raise KeyError(index_name)

    def status(self) -> dict[str, Any]:
        """Return the complete state: indexes, pending mutations, lag, limits, budget and faults."""
        return self.control("GET", "")

    @staticmethod
    def digest(values: Iterable[float], namespace: str | None = None, metadata: object = None) -> str:
        """Return the digest that :meth:`dump` has for a vector. The values are rounded to float32."""
        packed = array("f", values)
        if sys.byteorder == "big":
            packed.byteswap()
        return digest_of(packed.tobytes(), namespace, metadata)

    def reset(self) -> None:
        """Delete all data, faults and recorded requests, and restore the initial lag, budget and clock."""
        self.control("POST", "reset")

    def control(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Call the control API.

        :raises RuntimeError: The control API refused the call. The message says why.
        """
        target, data = f"/__local__/{path}", json.dumps(body)
        if method == "GET":
            target, data = f"{target}?{urllib.parse.urlencode(body)}", ""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, target, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            result = dict(json.load(response))
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise RuntimeError(result.get("error", response.status))
        return result
