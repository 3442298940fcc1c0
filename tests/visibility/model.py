"""The model test of visibility: random worlds in which the real code writes and waits on virtual time.

``python -m tests.visibility.model --runs 2000 --seed 1`` prints statistics, and fails if a sensor succeeds too early or
hangs. ``--without NAME`` switches off one line of the rule. ``--list`` lists the names of the lines.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_vectorize.load import uploader

from .actors import ActorWorld
from .cost import CASES, run_case
from .sensors import Implementation, Sensor, Sensors, Triggerer
from .service import INDEXES, Conditions, Service
from .switches import SWITCHES, without
from .writers import Writers, Written

#: Maximum number of seconds from the last applied write to the end of every sensor.
MAX_SECONDS_TO_END = 900.0
_UNIT_TESTS = [Path(__file__).with_name(f"test_{name}.py") for name in ("rule", "waits", "monitor")]


@dataclass
class Figures:
    """Statistics of the sensors of some worlds.

    :param worlds: Number of worlds.
    :param results: Number of sensors by result.
    :param faults: Seed and result of each false green, hang and error.
    :param markers: Number of writes of monitors.
    :param requests: Number of requests.
    :param seconds: Duration of each wait.
    """

    worlds: int = 0
    results: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    markers: int = 0
    requests: int = 0
    seconds: list[float] = field(default_factory=list)

    def count(self, prefix: str) -> int:
        """Return the number of results that start with a text."""
        return sum(number for result, number in self.results.items() if result.startswith(prefix))

    def __str__(self) -> str:
        lines = [f"{number:7,d}  {result}" for result, number in sorted(self.results.items())]
        waited = sorted(self.seconds) or [0.0]
        shares = ", ".join(f"p{share} {waited[len(waited) * share // 100]:.0f} s" for share in (50, 90, 99))
        sensors = max(1, sum(self.results.values()))
        return "\n".join([
            f"{self.worlds:,} worlds, {sensors:,} sensors. Waits: {shares}",
            f"{self.requests:,} requests, including {self.markers:,} writes of monitors",
            f"{self.count('FALSE'):7,d}  false greens",
            f"{self.count('HANG'):7,d}  hangs",
            *lines,
        ])


def run(seed: int, implementation: Implementation, figures: Figures) -> None:
    """Run one world, and add its results to the statistics."""
    rng = random.Random(seed)
    random.seed(seed)  # for the random numbers of the code under test
    conditions = Conditions.random(rng)
    # "crowd": many small tasks whose sensors share a triggerer. "lone": the index shows only the task's own mutations.
    kind = rng.choice(["crowd", "lone", "mixed", "mixed"])
    if kind == "lone":
        conditions = replace(conditions, foreign=0.0, folded=rng.choice([1, 2, 3]), jobs=rng.choice([(1, 5), (5, 15)]))
    with (
        tempfile.TemporaryDirectory(prefix="model-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder,
        ActorWorld(watermark_skew=conditions.watermark_skew) as world,
        world.concurrent(uploader),
    ):
        service = Service(world, conditions, rng)

        def record(result: str, sensor: Sensor) -> None:
            figures.results[result] += 1
            if result.startswith(("FALSE", "HANG", "error", "failed: W")):
                figures.faults.append((seed, result))

        sensors = Sensors(world, service, implementation, record)
        tasks = _Tasks(world, sensors, Writers(world, rng, Path(folder)), rng)
        for _ in range(20 if kind == "crowd" else rng.choice([1, 2, 3, 5])):
            world.start(partial(tasks.run, kind), rng.uniform(0, 200 if kind == "crowd" else 120))
        world.advance(conditions.quiet_after)
        world.advance(3_000, lambda: not (tasks.running or any(map(world.pending, filter(world.exists, INDEXES)))))
        world.advance(MAX_SECONDS_TO_END, lambda: all(_unprovable(world, sensor) for sensor in sensors.open))
        for sensor in list(sensors.open):
            record("open: cannot be proved without a marker" if _unprovable(world, sensor) else "HANG", sensor)
        figures.worlds += 1
        figures.seconds += sensors.seconds
        figures.requests += len(world.sent)
        figures.markers += sum(request.write and request.client.startswith("monitor") for request in world.sent)


def _unprovable(world: ActorWorld, sensor: Sensor) -> bool:
    """Return whether a sensor without markers may stay open, because the watermark is another mutation."""
    if sensor.marker != "none":
        return False
    watermarks = {world.applied(name)[-1:][0] if world.applied(name) else None for name in INDEXES}
    mutations = [write.mutation for write in sensor.written]
    provable = all(
        isinstance(mutation, str) or (isinstance(mutation, dict) and mutation.get("sealed", True))
        for mutation in mutations
    )
    return not (provable and all(write.expected[-1] in watermarks for write in sensor.written))


class _Tasks:
    """Tasks that write, each followed by sensors."""

    def __init__(self, world: ActorWorld, sensors: Sensors, writers: Writers, rng: random.Random) -> None:
        self._world = world
        self._sensors = sensors
        self._writers = writers
        self._rng = rng
        self.running = 0
        self._triggerer = Triggerer(sensors, world, rng.choice([5.0, 5.0, 10.0]))
        for _ in range(rng.choice([0, 0, 1, 2])):
            world.schedule(rng.uniform(20, 250), self._triggerer.restart)

    def run(self, kind: str) -> None:
        """Write, pass what was written to a sensor, and wait for it."""
        self.running += 1
        if kind == "crowd":
            for written in _successful([self._writers.write("docs", ["hook", "metadata_index"])]):
                self._triggerer.defer(self._sensors.sensor([written], "delete"))
        else:
            writes = self._write() if kind == "mixed" else self._write_alone()
            self._world.advance(self._rng.choice([0.5, 2.0, 15.0, 40.0]))
            if writes:
                for waited_together in self._rng.choice([[writes], [writes], [[write] for write in writes]]):
                    self._wait(waited_together)
        self.running -= 1

    def _write_alone(self) -> list[Written]:
        return _successful([
            self._writers.write("docs", ["unsealed", "unsealed", "at_once", "at_once", "load", "load", "load"])
        ])

    def _write(self) -> list[Written]:
        index_name = "docs" if self._rng.random() < 0.9 else "other"
        pattern = self._rng.choice(["one", "one", "mapped", "special", "special", "two indexes"])
        if pattern == "special":
            kind = self._rng.choice(["load_then_delete", "two_upserts", "at_once", "unsealed"])
            return _successful([self._writers.write(index_name, [kind])])
        if pattern == "two indexes":
            return _successful([self._writers.write(name, ["load", "delete"]) for name in INDEXES])
        writes: list[Written | None] = []
        unfinished = list(range(1 if pattern == "one" else self._rng.choice([2, 3, 4])))
        kinds = [] if pattern == "one" else ["load", "load", "load", "delete", "hook"]

        def write(number: int) -> None:
            writes.append(self._writers.write(index_name, kinds))
            unfinished.remove(number)

        for number in list(unfinished):
            self._world.start(partial(write, number), self._rng.uniform(0, 4))
        self._world.advance(10_000, lambda: not unfinished)
        return _successful(writes)

    def _wait(self, written: list[Written]) -> None:
        kind = self._rng.random()
        if kind < 0.2:
            written = [_bare(write) for write in written]
        elif kind < 0.25:
            written = [_of_another_account(write) for write in written if write.index_name == "other"] or written
        marker = self._rng.choice(["delete"] * 8 + ["vector", "none"])
        read_only = self._rng.random() < 0.03
        sensor = self._sensors.sensor(written, "none" if read_only else marker)
        if self._rng.random() < 0.6 and not read_only:
            self._triggerer.defer(sensor)
        else:
            interval = self._rng.choice([5.0, 10.0])
            self._world.start(lambda: self._sensors.poke(sensor, interval, read_only=read_only))


def _successful(writes: Iterable[Written | None]) -> list[Written]:
    return [write for write in writes if write]


def _bare(written: Written) -> Written:
    """Keep only the mutation ids, as ``load.output["mutation_id"]`` does."""
    mutation = written.mutation
    if isinstance(mutation, list):
        return Written(written.index_name, [page["mutation_id"] for page in mutation], written.expected, bare=True)
    if not mutation.get("sealed", True):
        return written  # its last id does not stand for the others
    return Written(written.index_name, mutation["mutation_id"], written.expected, bare=True)


def _of_another_account(written: Written) -> Written:
    """Return receipts of an index with the same name in another account."""
    mutations = written.mutation if isinstance(written.mutation, list) else [written.mutation]
    return Written("docs", [{**mutation, "index_name": "docs"} for mutation in mutations], written.expected)


def run_all(seeds: Iterable[int], implementation: Implementation | None = None) -> Figures:
    """Run one world for each seed. Return the statistics."""
    figures = Figures()
    for seed in seeds:
        run(seed, implementation or Implementation(), figures)
    return figures


def main() -> int:
    """Run worlds, and print the statistics of their sensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", choices=SWITCHES, metavar="LINE", help="switch off one line of the rule")
    parser.add_argument("--list", action="store_true", help="list the lines of the rule")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:20s} {text}" for name, (text, _) in SWITCHES.items()))
        return 0
    logging.disable(logging.CRITICAL)
    started = time.monotonic()
    with without(options.without):
        figures = run_all(range(options.seed, options.seed + options.runs))
        costs = {name: run_case(name)[1] for name in CASES}
        failed = _failed_tests() if options.without else []
    print(figures)
    for seed, result in list(dict.fromkeys(figures.faults))[:20]:
        print(f"seed {seed}: {result}")
    for name, excess in costs.items():
        print(f"cost of {name!r}: {excess or 'within its limits'}")
    for name in failed:
        print(f"failed: {name}")
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if figures.faults or any(costs.values()) or failed else 0


def _failed_tests() -> list[str]:
    """Return the tests of the rule that fail in this process, in which one line of it is switched off."""
    failed: list[str] = []

    class FailureRecorder:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    with redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", *map(str, _UNIT_TESTS)], plugins=[FailureRecorder()])
    return failed


if __name__ == "__main__":
    sys.exit(main())
