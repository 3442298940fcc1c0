"""The model test of visibility: random worlds in which the real code writes and waits, on virtual time.

``python -m tests.visibility.model --runs 2000 --seed 1`` prints figures, and fails on a false green or a hang.
``--without NAME`` switches one line of the rule off; ``--list`` names the lines.
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

#: Seconds within which every sensor has to end after the last write was applied.
PATIENCE = 900.0
_UNIT_TESTS = [Path(__file__).with_name(f"test_{name}.py") for name in ("rule", "waits", "monitor")]


@dataclass
class Figures:
    """What became of the sensors of some worlds.

    :param results: How often each result was seen.
    :param faults: Seed and result of each false green, hang and error.
    """

    worlds: int = 0
    results: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    markers: int = 0
    requests: int = 0
    seconds: list[float] = field(default_factory=list)

    def count(self, start: str) -> int:
        """Count the results that begin so."""
        return sum(number for result, number in self.results.items() if result.startswith(start))

    def __str__(self) -> str:
        lines = [f"{number:7,d}  {result}" for result, number in sorted(self.results.items())]
        waited = sorted(self.seconds) or [0.0]
        shares = ", ".join(f"p{share} {waited[len(waited) * share // 100]:.0f} s" for share in (50, 90, 99))
        sensors = max(1, sum(self.results.values()))
        return "\n".join([
            f"{self.worlds:,} worlds, {sensors:,} sensors, which waited {shares}",
            f"{self.requests:,} requests, of these {self.markers:,} writes of monitors",
            f"{self.count('FALSE'):7,d}  false greens",
            f"{self.count('HANG'):7,d}  hangs",
            *lines,
        ])


def run(seed: int, implementation: Implementation, figures: Figures) -> None:
    """Run one world."""
    r = random.Random(seed)
    random.seed(seed)  # what the code under test draws
    conditions = Conditions.random(r)
    # Many small tasks whose sensors share a triggerer; or tasks whose own mutations are all that the index shows.
    kind = r.choice(["crowd", "lone", "mixed", "mixed"])
    if kind == "lone":
        conditions = replace(conditions, foreign=0.0, folded=r.choice([1, 2, 3]), jobs=r.choice([(1, 5), (5, 15)]))
    with (
        tempfile.TemporaryDirectory(prefix="model-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder,
        ActorWorld(watermark_skew=conditions.watermark_skew) as world,
        world.concurrent(uploader),
    ):
        service = Service(world, conditions, r)

        def note(result: str, sensor: Sensor) -> None:
            figures.results[result] += 1
            if result.startswith(("FALSE", "HANG", "error", "failed: W")):
                figures.faults.append((seed, result))

        sensors = Sensors(world, service, implementation, note)
        tasks = _Tasks(world, sensors, Writers(world, r, Path(folder)), r)
        for _ in range(20 if kind == "crowd" else r.choice([1, 2, 3, 5])):
            world.start(partial(tasks.run, kind), r.uniform(0, 200 if kind == "crowd" else 120))
        world.advance(conditions.quiet_after)
        world.advance(3_000, lambda: not (tasks.running or any(map(world.pending, filter(world.exists, INDEXES)))))
        world.advance(PATIENCE, lambda: all(_unprovable(world, sensor) for sensor in sensors.open))
        for sensor in list(sensors.open):
            note("open: cannot be proved without a marker" if _unprovable(world, sensor) else "HANG", sensor)
        figures.worlds += 1
        figures.seconds += sensors.seconds
        figures.requests += len(world.sent)
        figures.markers += sum(sent.write and sent.client.startswith("monitor") for sent in world.sent)


def _unprovable(world: ActorWorld, sensor: Sensor) -> bool:
    """Whether a sensor that allows no markers may stay open, because the watermark is another mutation."""
    if sensor.marker != "none":
        return False
    marks = {world.applied(name)[-1:][0] if world.applied(name) else None for name in INDEXES}
    mutations = [one.mutation for one in sensor.written]
    alone = all(isinstance(one, str) or (isinstance(one, dict) and one.get("sealed", True)) for one in mutations)
    return not (alone and all(one.expected[-1] in marks for one in sensor.written))


class _Tasks:
    """Tasks that write, and sensors behind them."""

    def __init__(self, world: ActorWorld, sensors: Sensors, writers: Writers, r: random.Random) -> None:
        self._world = world
        self._sensors = sensors
        self._writers = writers
        self._r = r
        self.running = 0
        self._triggerer = Triggerer(sensors, world, r.choice([5.0, 5.0, 10.0]))
        for _ in range(r.choice([0, 0, 1, 2])):
            world.schedule(r.uniform(20, 250), self._triggerer.start_over)

    def run(self, kind: str) -> None:
        """Write, hand on what was written, and wait for it."""
        self.running += 1
        if kind == "crowd":
            for one in _some([self._writers.write("docs", ["hook", "metadata_index"])]):
                self._triggerer.defer(self._sensors.sensor([one], "delete"))
        else:
            written = self._write() if kind == "mixed" else self._write_alone()
            self._world.advance(self._r.choice([0.5, 2.0, 15.0, 40.0]))
            if written:
                for part in self._r.choice([[written], [written], [[one] for one in written]]):
                    self._wait(part)
        self.running -= 1

    def _write_alone(self) -> list[Written]:
        return _some([
            self._writers.write("docs", ["unsealed", "unsealed", "at_once", "at_once", "load", "load", "load"])
        ])

    def _write(self) -> list[Written]:
        index_name = "docs" if self._r.random() < 0.9 else "other"
        pattern = self._r.choice(["one", "one", "mapped", "special", "special", "two indexes"])
        if pattern == "special":
            kind = self._r.choice(["load_then_delete", "two_upserts", "at_once", "unsealed"])
            return _some([self._writers.write(index_name, [kind])])
        if pattern == "two indexes":
            return _some([self._writers.write(name, ["load", "delete"]) for name in INDEXES])
        found: list[Written | None] = []
        left = list(range(1 if pattern == "one" else self._r.choice([2, 3, 4])))
        kinds = [] if pattern == "one" else ["load", "load", "load", "delete", "hook"]

        def one(number: int) -> None:
            found.append(self._writers.write(index_name, kinds))
            left.remove(number)

        for number in list(left):
            self._world.start(partial(one, number), self._r.uniform(0, 4))
        self._world.advance(10_000, lambda: not left)
        return _some(found)

    def _wait(self, written: list[Written]) -> None:
        kind = self._r.random()
        if kind < 0.2:
            written = [_bare(one) for one in written]
        elif kind < 0.25:
            written = [_of_another_account(one) for one in written if one.index_name == "other"] or written
        marker = self._r.choice(["delete"] * 8 + ["vector", "none"])
        read_only = self._r.random() < 0.03
        sensor = self._sensors.sensor(written, "none" if read_only else marker)
        if self._r.random() < 0.6 and not read_only:
            self._triggerer.defer(sensor)
        else:
            interval = self._r.choice([5.0, 10.0])
            self._world.start(lambda: self._sensors.poke(sensor, interval, read_only=read_only))


def _some(found: Iterable[Written | None]) -> list[Written]:
    return [one for one in found if one]


def _bare(written: Written) -> Written:
    """Keep nothing but the ids, as ``load.output["mutation_id"]`` does."""
    mutation = written.mutation
    if isinstance(mutation, list):
        return Written(written.index_name, [one["mutation_id"] for one in mutation], written.expected, bare=True)
    if not mutation.get("sealed", True):
        return written  # its last id alone does not stand for the others
    return Written(written.index_name, mutation["mutation_id"], written.expected, bare=True)


def _of_another_account(written: Written) -> Written:
    """A receipt of an index with the name of this one, in another account."""
    mutations = written.mutation if isinstance(written.mutation, list) else [written.mutation]
    return Written("docs", [{**one, "index_name": "docs"} for one in mutations], written.expected)


def run_all(seeds: Iterable[int], implementation: Implementation | None = None) -> Figures:
    """Run a world for each seed."""
    figures = Figures()
    for seed in seeds:
        run(seed, implementation or Implementation(), figures)
    return figures


def main() -> int:
    """Run worlds, and print what became of their sensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", choices=SWITCHES, metavar="LINE", help="switch one line of the rule off")
    parser.add_argument("--list", action="store_true", help="name the lines of the rule")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:20s} {text}" for name, (text, _) in SWITCHES.items()))
        return 0
    logging.disable(logging.CRITICAL)
    begun = time.monotonic()
    with without(options.without):
        figures = run_all(range(options.seed, options.seed + options.runs))
        costs = {name: run_case(name)[1] for name in CASES}
        failed = _failed_tests() if options.without else []
    print(figures)
    for seed, result in list(dict.fromkeys(figures.faults))[:20]:
        print(f"seed {seed}: {result}")
    for name, exceeded in costs.items():
        print(f"cost of {name!r}: {exceeded or 'as allowed'}")
    for name in failed:
        print(f"failed: {name}")
    print(f"{time.monotonic() - begun:.0f} s")
    return 1 if figures.faults or any(costs.values()) or failed else 0


def _failed_tests() -> list[str]:
    """Run the tests of the rule in this process, where a line of it is switched off."""
    failed: list[str] = []

    class Plugin:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    with redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", *map(str, _UNIT_TESTS)], plugins=[Plugin()])
    return failed


if __name__ == "__main__":
    sys.exit(main())
