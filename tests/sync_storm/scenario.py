"""Generate the scenario of one sync storm: everything that its seed decides."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.storm.scenario import make_faults
from tests.sync.sources import ModelRow, Source, change, truth_of

from .events import KINDS, Kill

#: Seconds without a response after which the sync abandons a request.
TIMEOUT = 0.6
#: Seconds for which the sync assumes that an abandoned request can still be carried out.
LATE_SECONDS = 1.2
NIGHTS = 4
#: Ends of the kinds of events that need an approved plan, or a generation that is two commits old.
RARE = ("delete plan", "delete columns", "delete copy of current")


@dataclass(frozen=True)
class Attempt:
    """One attempt of a night.

    :param source: What the source holds during the attempt.
    :param kill: When its process is killed, or ``None``.
    """

    source: Source
    kill: Kill | None = None


@dataclass(frozen=True)
class Night:
    """One night.

    :param attempts: Attempts that are killed. The last one is not, and it is repeated until it commits.
    :param delete_vanished: Whether the sync deletes what left the source.
    :param approve: Whether a person approves a plan of this night in the same night.
    :param rewritten: Whether objects with the same rows are written again, so that their version differs.
    :param foreign: Content of the vectors that another writer writes before the night, by ID.
    :param faults: Fault rules for the local Vectorize.
    """

    attempts: Sequence[Attempt]
    delete_vanished: bool = True
    approve: bool = True
    rewritten: bool = False
    foreign: dict[str, int] = field(default_factory=dict)
    faults: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class Scenario:
    """Several nights of one sync. The last night is calm, and its source has no row without a readable ID.

    :param suffix: Suffix of the objects: their compression or format.
    :param stored: Where the state is: ``file`` or ``s3``.
    :param lag: Seconds from a write to its visibility.
    """

    seed: int
    suffix: str
    stored: str
    in_flight: int
    per_request: int
    per_delete: int
    retry_seconds: float
    max_deletes: float
    lag: float
    nights: Sequence[Night]

    @property
    def index(self) -> str:
        return f"storm-{self.seed}"


def make_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed. The same seed always makes the same scenario."""
    rng = random.Random(f"sync {seed}")
    suffix = rng.choice(["", "", ".gz", ".zst", ".parquet"])
    return Scenario(
        seed,
        suffix,
        "s3" if rng.random() < 0.08 else "file",
        in_flight=rng.choice([1, 2, 4]),
        per_request=rng.choice([5, 10, 25]),
        per_delete=rng.choice([3, 10]),
        retry_seconds=rng.choice([3, 20]),
        max_deletes=rng.choice([0.1, 0.3]),
        lag=rng.choice([0.0, 0.0, 0.1]),
        nights=_nights(rng, readable=suffix == ".parquet"),
    )


def _nights(rng: random.Random, *, readable: bool) -> list[Night]:
    """Return the nights.

    :param readable: Whether every ID has to be readable, because the format cannot hold a row without one.
    """
    ids = rng.choice([20, 60, 150])
    source: Source = {
        name: [ModelRow("good", f"v{number}", rng.randrange(3)) for number in range(ids) if number % 3 == place]
        for place, name in enumerate("abc")
    }
    nights: list[Night] = []
    sources = [source]
    for number in range(NIGHTS):
        attempts = []
        for _ in range(rng.choice([1, 2, 2, 3])):
            attempts.append(Attempt(source, _kill(rng)))
            if rng.random() < 0.5:
                source = _changed(source, sources, rng, ids, readable=readable)
        attempts.append(Attempt(source))
        nights.append(
            Night(
                attempts,
                delete_vanished=rng.random() < 0.85,
                approve=rng.random() < 0.7,
                rewritten=rng.random() < 0.3,
                foreign={f"f{rng.randrange(3)}": rng.randrange(100, 200)} if rng.random() < 0.5 else {},
                faults=list(make_faults(rng, TIMEOUT)) if rng.random() < 0.8 else (),
            )
        )
        sources.append(source)
        source = _changed(source, sources, rng, ids, readable=readable or number == NIGHTS - 1)
    return [*nights, Night([Attempt(_readable(source))])]


def _kill(rng: random.Random) -> Kill:
    """Return a kill. Events that few runs have are rarely chosen, because a run without the event is not killed."""
    kinds = KINDS if rng.random() < 0.2 else [kind for kind in KINDS if not kind.endswith(RARE)]
    return Kill(rng.choice(kinds), rng.choice([1, 1, 1, 2, 3]), rng.uniform(0, 0.02))


def _changed(source: Source, earlier: Sequence[Source], rng: random.Random, ids: int, *, readable: bool) -> Source:
    """Return a source after some changes. At least one row is good."""
    for _ in range(rng.choice([3, 10, 10, 20])):
        changed = change(source, earlier, rng, ids)
        if truth_of(changed).good:
            source = changed
    return _readable(source) if readable else source


def _readable(source: Source) -> Source:
    """Return a source whose IDs can all be read: rows without a readable ID become bad rows with one."""
    return {
        name: [row._replace(kind="bad") if row.kind == "unreadable" else row for row in rows]
        for name, rows in source.items()
    }
