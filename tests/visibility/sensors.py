"""The sensors of a random world: in poke mode with one monitor each, or deferred with one monitor per triggerer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.visibility.monitor import IndexMonitor, parse_wait_request
from airflow_provider_vectorize.visibility.waits import waits_for

from .actors import ActorWorld
from .service import MAX_LAG, TIMEOUT, Service
from .writers import Written


class Outcome(Protocol):
    """The result of a check for one sensor."""

    visible: bool
    failure: str


class Checker(Protocol):
    """Checks one index for sensors."""

    def check(self, requests: Mapping[Any, Any]) -> tuple[Mapping[Any, Outcome], float]: ...


class Implementation:
    """The code under test: how a sensor parses its argument, and what checks an index."""

    def requests(self, mutation: Any, index_name: str, marker: str) -> dict[str, Any]:
        """Return the request to the monitor of each index, as parsed in the triggerer."""
        by_index: dict[str, list[Any]] = {}
        for wait in waits_for(mutation, index_name):
            by_index.setdefault(wait.index_name, []).append(wait.to_dict())
        return {name: parse_wait_request(rows, marker, "log") for name, rows in by_index.items()}

    def checker(self, client: VectorizeClient, index_name: str) -> Checker:
        """Return the object that checks an index."""
        return IndexMonitor(client, index_name)


@dataclass(eq=False)
class Sensor:
    """One sensor, until it ends.

    :param written: What the upstream tasks wrote. All of it has to be applied when the sensor succeeds.
    :param marker: The markers that the sensor allows.
    :param requests: The request to the monitor of each index that is not visible yet.
    :param started_at: Virtual time at which the wait began.
    :param visible_since: Start of the check that showed an index as visible, by index.
    """

    written: list[Written]
    marker: str
    requests: dict[str, Any]
    started_at: float
    visible_since: dict[str, float] = field(default_factory=dict)


class Sensors:
    """Runs the sensors of a world, and judges each sensor when it ends.

    :param record: Called with the result of each sensor.
    """

    def __init__(
        self, world: ActorWorld, service: Service, implementation: Implementation, record: Callable[[str, Sensor], None]
    ) -> None:
        self._world = world
        self._service = service
        self._implementation = implementation
        self._record = record
        self.open: list[Sensor] = []
        self.seconds: list[float] = []
        self._monitors = 0

    def sensor(self, written: list[Written], marker: str) -> Sensor:
        """Start a sensor that waits for what was written."""
        requests: dict[str, Any] = {}
        for index_name in dict.fromkeys(write.index_name for write in written):
            mutations = [write.mutation for write in written if write.index_name == index_name]
            requests |= self._implementation.requests(mutations, index_name, marker)
        sensor = Sensor(written, marker, requests, self._world.now)
        self.open.append(sensor)
        return sensor

    def checker(self, index_name: str, *, read_only: bool = False) -> Checker:
        """Return a monitor with its own client."""
        self._monitors += 1
        client = self._world.monitor_client(f"monitor-{self._monitors}", timeout=TIMEOUT, read_only=read_only)
        return self._implementation.checker(client, index_name)

    def poke(self, sensor: Sensor, interval: float, *, read_only: bool = False) -> None:
        """Run a sensor in poke mode until it ends."""
        checkers = {name: self.checker(name, read_only=read_only) for name in sensor.requests}
        while sensor in self.open:
            pause = 0.0
            for name in list(sensor.requests):
                pause = max(pause, self.check(checkers[name], name, [sensor]))
            self._world.advance(max(interval, pause))

    def check(self, checker: Checker, name: str, sensors: list[Sensor]) -> float:
        """Check once for some sensors. Return the number of seconds to wait before the next check."""
        requests = {sensor: sensor.requests[name] for sensor in sensors if name in sensor.requests}
        if not requests:
            return 0.0
        started_at = self._world.now
        try:
            verdicts, pause = checker.check(requests)
        except VectorizeError as error:
            for sensor in requests:
                self._end(sensor, f"error: {type(error).__name__}")
            return 0.0
        for sensor, verdict in verdicts.items():
            if verdict.failure:
                self._end(sensor, self._judge_failure(sensor))
            elif verdict.visible:
                del sensor.requests[name]
                sensor.visible_since[name] = started_at
                if not sensor.requests:
                    self._end(sensor, self._judge_success(sensor))
        return pause

    def _end(self, sensor: Sensor, result: str) -> None:
        if sensor in self.open:
            self.open.remove(sensor)
            self.seconds.append(self._world.now - sensor.started_at)
            self._record(result, sensor)

    # ---------------------------------------------------------------- judgment

    def _judge_success(self, sensor: Sensor) -> str:
        states = {self._state(write, mutation, sensor) for write in sensor.written for mutation in write.expected}
        wrong = sorted(states - {"applied", "of an index deleted a moment ago", "bare, and the index was re-created"})
        if wrong:
            return f"FALSE GREEN: {', '.join(wrong)}"
        return f"green: {', '.join(sorted(states))}"

    def _judge_failure(self, sensor: Sensor) -> str:
        states = {self._state(write, mutation, sensor) for write in sensor.written for mutation in write.expected}
        if states <= {"applied", "pending"} and all(self._world.exists(write.index_name) for write in sensor.written):
            lagging = any(
                str(write.mutation).count(self._world.created_on(write.index_name).isoformat())
                < max(1, str(write.mutation).count("'created_on'"))  # one per receipt
                for write in sensor.written
            )
            return "failed: created_on was read from a lagging replica" if lagging else "failed: WRONGLY"
        return "failed: rightly"

    def _state(self, written: Written, mutation: str, sensor: Sensor) -> str:
        """Return what happened to a mutation, according to the authoritative state."""
        incarnations = self._world.incarnations(written.index_name)
        for number, incarnation in enumerate(incarnations):
            log = [logged.id for logged in incarnation.log]
            position = log.index(mutation) if mutation in log else None
            if position is None:
                continue
            if written.bare and number < len(incarnations) - 1:
                return "bare, and the index was re-created"
            if position >= incarnation.applied:
                return "lost with its index" if incarnation.deleted else "pending"
            if incarnation.deleted:
                since = sensor.visible_since.get(written.index_name, self._world.now)
                if self._service.deleted_at[written.index_name, number] < since - MAX_LAG:
                    return "of a deleted index"
                return "of an index deleted a moment ago"
            return "applied"
        return "never written to this index"


class Triggerer:
    """The deferred sensors of one process. They share one monitor per index, which a restart replaces."""

    def __init__(self, sensors: Sensors, world: ActorWorld, interval: float) -> None:
        self._sensors = sensors
        self._world = world
        self._interval = interval
        self._waiting: dict[str, list[Sensor]] = {}
        self._restarts = 0

    def defer(self, sensor: Sensor) -> None:
        """Take over a sensor."""
        for name in sensor.requests:
            if name not in self._waiting:
                self._waiting[name] = []
                self._world.start(lambda name=name: self._run(name))
            self._waiting[name].append(sensor)

    def restart(self) -> None:
        """Lose everything that was observed, after a check in progress."""
        self._restarts += 1

    def _run(self, name: str) -> None:
        checker, restarts = self._sensors.checker(name), self._restarts
        while True:
            waiting = [
                sensor for sensor in self._waiting[name] if name in sensor.requests and sensor in self._sensors.open
            ]
            pause = self._sensors.check(checker, name, waiting)
            if restarts != self._restarts:
                checker, restarts = self._sensors.checker(name), self._restarts
                pause += 10.0
            self._waiting[name] = [sensor for sensor in self._waiting[name] if name in sensor.requests]
            if not self._waiting[name]:
                del self._waiting[name]
                return
            self._world.advance(max(self._interval, pause))
