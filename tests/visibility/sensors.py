"""The sensors of a random world: in poke mode with a monitor each, or deferred with one monitor a triggerer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.visibility import monitor as monitors
from airflow_provider_vectorize.visibility import waits as wait_module

from .actors import ActorWorld
from .service import MOST_LAG, TIMEOUT, Service
from .writers import Written


class Outcome(Protocol):
    """What a check means for one sensor."""

    visible: bool
    failure: str


class Checker(Protocol):
    """What checks one index for sensors."""

    def check(self, requests: Mapping[Any, Any]) -> tuple[Mapping[Any, Outcome], float]: ...


class Implementation:
    """The code under test: how a sensor reads its argument, and what checks an index."""

    def requests(self, mutation: Any, index_name: str, marker: str) -> dict[str, Any]:
        """Return what is asked of the monitor of each index, as it arrives in the triggerer."""
        by_index: dict[str, list[Any]] = {}
        for wait in wait_module.waits_for(mutation, index_name):
            by_index.setdefault(wait.index_name, []).append(wait.to_dict())
        return {name: monitors.parse_wait_request(rows, marker, "log") for name, rows in by_index.items()}

    def checker(self, client: VectorizeClient, index_name: str) -> Checker:
        """Return what checks an index."""
        return monitors.IndexMonitor(client, index_name)


@dataclass(eq=False)
class Sensor:
    """One sensor, until it ends.

    :param written: What the upstream tasks wrote: all of it has to be applied when the sensor is green.
    :param requests: By index, what is not visible yet.
    """

    written: list[Written]
    marker: str
    requests: dict[str, Any]
    began_at: float
    seen: dict[str, float] = field(default_factory=dict)


class Sensors:
    """Runs the sensors of a world, and judges each at the moment at which it ends.

    :param figures: Counts what became of them.
    """

    def __init__(
        self, world: ActorWorld, service: Service, implementation: Implementation, note: Callable[[str, Sensor], None]
    ) -> None:
        self._world = world
        self._service = service
        self._implementation = implementation
        self._note = note
        self.open: list[Sensor] = []
        self.seconds: list[float] = []
        self._monitors = 0

    def sensor(self, written: list[Written], marker: str) -> Sensor:
        """Begin to wait for what was written."""
        requests: dict[str, Any] = {}
        for one in written:
            for name, request in self._implementation.requests(
                [each.mutation for each in written if each.index_name == one.index_name], one.index_name, marker
            ).items():
                requests[name] = request
        sensor = Sensor(written, marker, requests, self._world.now)
        self.open.append(sensor)
        return sensor

    def checker(self, index_name: str, *, read_only: bool = False) -> Checker:
        """Return a monitor with a client of its own."""
        self._monitors += 1
        client = self._world.monitor_client(f"monitor-{self._monitors}", timeout=TIMEOUT, read_only=read_only)
        return self._implementation.checker(client, index_name)

    def poke(self, sensor: Sensor, interval: float, *, read_only: bool = False) -> None:
        """Run a sensor in poke mode."""
        checkers = {name: self.checker(name, read_only=read_only) for name in sensor.requests}
        while sensor in self.open:
            pause = 0.0
            for name in list(sensor.requests):
                pause = max(pause, self.check(checkers[name], name, [sensor]))
            self._world.advance(max(interval, pause))

    def check(self, checker: Checker, name: str, sensors: list[Sensor]) -> float:
        """Check once for some sensors. Returns the seconds for which another check makes no sense."""
        requests = {sensor: sensor.requests[name] for sensor in sensors if name in sensor.requests}
        if not requests:
            return 0.0
        begun = self._world.now
        try:
            verdicts, pause = checker.check(requests)
        except VectorizeError as error:
            for sensor in requests:
                self._end(sensor, f"error: {type(error).__name__}")
            return 0.0
        for sensor, verdict in verdicts.items():
            if verdict.failure:
                self._end(sensor, self._failed(sensor))
            elif verdict.visible:
                del sensor.requests[name]
                sensor.seen[name] = begun
                if not sensor.requests:
                    self._end(sensor, self._green(sensor))
        return pause

    def _end(self, sensor: Sensor, result: str) -> None:
        if sensor in self.open:
            self.open.remove(sensor)
            self.seconds.append(self._world.now - sensor.began_at)
            self._note(result, sensor)

    # ---------------------------------------------------------------- judgment

    def _green(self, sensor: Sensor) -> str:
        found = {self._state(one, mutation, sensor) for one in sensor.written for mutation in one.expected}
        wrong = sorted(found - {"applied", "of an index deleted a moment ago", "bare, and the index was re-created"})
        if wrong:
            return f"FALSE GREEN: {', '.join(wrong)}"
        return f"green: {', '.join(sorted(found))}"

    def _failed(self, sensor: Sensor) -> str:
        found = {self._state(one, mutation, sensor) for one in sensor.written for mutation in one.expected}
        if found <= {"applied", "pending"} and all(self._world.exists(one.index_name) for one in sensor.written):
            lagging = any(
                str(one.mutation).count(self._world.created_on(one.index_name).isoformat())
                < max(1, str(one.mutation).count("'created_on'"))  # of each receipt, where there are several
                for one in sensor.written
            )
            return "failed: created_on was read from a lagging replica" if lagging else "failed: WRONGLY"
        return "failed: rightly"

    def _state(self, written: Written, mutation: str, sensor: Sensor) -> str:
        """What became of a mutation in the authoritative state."""
        incarnations = self._world.incarnations(written.index_name)
        for number, one in enumerate(incarnations):
            position = next((place for place, logged in enumerate(one.log) if logged.id == mutation), None)
            if position is None:
                continue
            if written.bare and number < len(incarnations) - 1:
                return "bare, and the index was re-created"
            if position >= one.applied:
                return "lost with its index" if one.deleted else "pending"
            if one.deleted:
                since = sensor.seen.get(written.index_name, self._world.now)
                if self._service.deleted_at[written.index_name, number] < since - MOST_LAG:
                    return "of a deleted index"
                return "of an index deleted a moment ago"
            return "applied"
        return "never written to this index"


class Triggerer:
    """Deferred sensors of one process: a monitor for each index, shared by all, and lost when it starts over."""

    def __init__(self, sensors: Sensors, world: ActorWorld, interval: float) -> None:
        self._sensors = sensors
        self._world = world
        self._interval = interval
        self._waiting: dict[str, list[Sensor]] = {}
        self._starts = 0

    def defer(self, sensor: Sensor) -> None:
        """Take a sensor over."""
        for name in sensor.requests:
            if name not in self._waiting:
                self._waiting[name] = []
                self._world.start(lambda name=name: self._run(name))
            self._waiting[name].append(sensor)

    def start_over(self) -> None:
        """Lose everything that was seen; a check that is under way is lost as well."""
        self._starts += 1

    def _run(self, name: str) -> None:
        checker, starts = self._sensors.checker(name), self._starts
        while True:
            waiting = [
                sensor for sensor in self._waiting[name] if name in sensor.requests and sensor in self._sensors.open
            ]
            pause = self._sensors.check(checker, name, waiting)
            if starts != self._starts:
                checker, starts = self._sensors.checker(name), self._starts
                pause += 10.0
            self._waiting[name] = [sensor for sensor in self._waiting[name] if name in sensor.requests]
            if not self._waiting[name]:
                del self._waiting[name]
                return
            self._world.advance(max(self._interval, pause))
