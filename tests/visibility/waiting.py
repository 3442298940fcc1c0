"""Scenarios in which sensors share a monitor, in a world whose jobs the test ends, and their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_vectorize.visibility.monitor import IndexMonitor, WaitRequest
from airflow_provider_vectorize.visibility.rule import MarkerKind
from airflow_provider_vectorize.visibility.verdict import Verdict
from airflow_provider_vectorize.visibility.waits import waits_for
from tests.support import make_rows, ndjson

from .world import World

CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class Cost:
    """The cost of one case.

    :param checks: Number of checks until all sensors succeeded, counted from the moment that the case defines.
    :param markers: Number of markers sent.
    :param other: Number of the monitor's requests, without markers and one request per check.
    """

    checks: int
    markers: int
    other: int


class SensorScenario:
    """One monitor and the sensors that share it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.monitor_client()
        self._monitor = IndexMonitor(self.client, "docs")
        self.requests: dict[str, WaitRequest] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.checks = 0

    def add_sensor(self, name: str, mutation: Any, marker: MarkerKind = "delete") -> None:
        """Add a sensor that waits for a mutation."""
        self.requests[name] = WaitRequest(tuple(waits_for(mutation, "docs")), marker)

    def check(self, times: int = 1) -> None:
        """Check this many times, and remove the sensors that end."""
        for _ in range(times):
            self.checks += 1
            self.world.advance(CHECK_SECONDS)
            self.verdicts, _ = self._monitor.check(self.requests)
            for name, verdict in self.verdicts.items():
                if verdict.visible or verdict.failure:
                    del self.requests[name]

    def check_until_green(self, limit: int = 100) -> int:
        """Check until all sensors have succeeded. Return the number of checks, at most ``limit``."""
        for count in range(limit):
            if not self.requests:
                return count
            self.check()
        return limit

    @property
    def marker_times(self) -> list[float]:
        """Time at which each marker was sent."""
        return [request.sent_at for request in self.world.sent if request.client == "monitor" and request.write]

    def cost(self, checks: int) -> Cost:
        """Return the cost so far, with the given number of checks."""
        requests = [request for request in self.world.sent if request.client == "monitor"]
        return Cost(checks, len(self.marker_times), len(requests) - len(self.marker_times) - self.checks)


def receipt(ids: Sequence[str], world: World) -> dict[str, Any]:
    """Return the receipt of a load with these mutations."""
    return {
        "index_name": "docs",
        "operation": "upsert",
        "mutation_id": ids[-1],
        "mutation_ids": list(ids),
        "sealed": True,
        "created_on": world.created_on("docs").isoformat(),
        "accepted_at": None,
    }


def load(world: World, writer: str, batches: int) -> dict[str, Any]:
    """Load this many batches. Return the receipt."""
    client = world.client(writer)
    mutations = [client.upsert("docs", ndjson(make_rows(1, first=number))) for number in range(batches)]
    return receipt([mutation.mutation_id for mutation in mutations], world) | {
        "accepted_at": mutations[-1]["accepted_at"]
    }
