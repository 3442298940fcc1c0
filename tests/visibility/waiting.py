"""A monitor and its sensors in a world whose jobs a test ends, and what they cost."""

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
    """What one case took.

    :param checks: Checks until all sensors were green, after the moment that the case names.
    :param markers: Markers that were sent.
    :param other: Requests of the monitor besides markers and one for each check.
    """

    checks: int
    markers: int
    other: int


class Waiting:
    """A monitor, and the sensors that share it, in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.monitor_client()
        self._monitor = IndexMonitor(self.client, "docs")
        self.requests: dict[str, WaitRequest] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.checks = 0

    def wait(self, name: str, mutation: Any, marker: MarkerKind = "delete") -> None:
        """Begin to wait, as a sensor."""
        self.requests[name] = WaitRequest(tuple(waits_for(mutation, "docs")), marker)

    def check(self, times: int = 1) -> None:
        """Check, and forget the sensors that end."""
        for _ in range(times):
            self.checks += 1
            self.world.advance(CHECK_SECONDS)
            self.verdicts, _ = self._monitor.check(self.requests)
            for name, verdict in self.verdicts.items():
                if verdict.visible or verdict.failure:
                    del self.requests[name]

    def until_green(self, limit: int = 100) -> int:
        """Check until all sensors are green. Returns how many checks that took, at most ``limit``."""
        for count in range(limit):
            if not self.requests:
                return count
            self.check()
        return limit

    @property
    def markers(self) -> list[float]:
        """When each marker was sent."""
        return [one.begun_at for one in self.world.sent if one.client == "monitor" and one.write]

    def cost(self, checks: int) -> Cost:
        """Return what was spent so far."""
        sent = [one for one in self.world.sent if one.client == "monitor"]
        return Cost(checks, len(self.markers), len(sent) - len(self.markers) - self.checks)


def receipt(ids: Sequence[str], world: World) -> dict[str, Any]:
    """A receipt of a load with these mutations."""
    return {
        "index_name": "docs",
        "operation": "upsert",
        "mutation_id": ids[-1],
        "mutation_ids": list(ids),
        "sealed": True,
        "created_on": world.created_on("docs").isoformat(),
        "accepted_at": None,
    }


def write(world: World, writer: str, batches: int) -> dict[str, Any]:
    """Load some batches, and return the receipt."""
    client = world.client(writer)
    found = [client.upsert("docs", ndjson(make_rows(1, first=number))) for number in range(batches)]
    return receipt([one.mutation_id for one in found], world) | {"accepted_at": found[-1]["accepted_at"]}
