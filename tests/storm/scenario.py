"""Generate the scenario of one storm run: everything that its seed decides."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.support import Row, make_rows

#: Seconds without a response after which the loading process abandons a request.
TIMEOUT = 1.0
#: Seconds for which the load assumes that an abandoned request can still be carried out.
LATE_SECONDS = 1.5
#: Faults after which a write is carried out although the client sees a failure and retries it.
APPLIED = ("cut_after_body", "cut_during_answer", "not_json", "no_mutation_id")
FAULTS = (
    "rate_limit",
    "throttle_40041",
    "http_500",
    "gateway_504_html",
    "gateway_524_html",
    "answer",
    "cut_before",
    "cut_during_body",
    "cut_before_apply",
    *APPLIED,
    "late",
    "delay",
)


@dataclass
class Scenario:
    """The scenario of one run.

    :param faults: Fault rules for the local Vectorize.
    :param disasters: ``kill`` the load or ``crash`` the local Vectorize, one for each attempt, and after how many
        writes.
    :param texts: The lines of each object, good and bad.
    :param good: The good rows, in order.
    :param bad: The object and the line of each bad row.
    :param before: The vectors that are in the index before the load.
    :param changes: What happens between two attempts: the task is cleared, or the source is written again.
    :param cleared: Whether the task is cleared once more after it has succeeded.
    :param parts: Whether the source consists of parts of its objects, as a plan of shards names them, and the lines of
        the objects are shuffled between the plan and the load. No row is bad and no ID occurs twice then, so that the
        order makes no difference.
    :param processes: Number of processes that check rows.
    :param killed_checkers: After how many blocks one of these processes is killed, in each attempt. 0: never.
    :param late_seconds: For how many seconds the load assumes that a request of an earlier attempt can be carried out.
    """

    seed: int
    operation: str
    suffix: str
    in_flight: int
    per_request: int
    validation: str
    float32_text: str
    held: bool
    lag: float
    flaps: bool
    budget: str
    faults: list[dict[str, Any]]
    disasters: list[tuple[str, int]]
    texts: list[list[bytes]] = field(default_factory=list)
    good: list[Row] = field(default_factory=list)
    bad: list[tuple[int, int]] = field(default_factory=list)
    before: list[Row] = field(default_factory=list)
    duplicates: bool = False
    changes: list[str] = field(default_factory=list)
    cleared: bool = False
    parts: bool = False
    processes: int = 1
    killed_checkers: int = 0
    late_seconds: float = LATE_SECONDS

    @property
    def index(self) -> str:
        return f"storm-{self.seed}"


def make_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed. The same seed always makes the same scenario."""
    rng = random.Random(seed)
    duplicates = rng.random() < 0.4
    validation = rng.choice(["full", "full", "light", "off"])
    scenario = Scenario(
        seed=seed,
        operation=rng.choice(["upsert", "upsert", "insert"]),
        suffix=rng.choice(["", "", ".gz", ".zst"]),
        in_flight=rng.choice([1, 2, 4, 4, 8]),
        per_request=rng.choice([7, 20, 50]),
        validation=validation,
        float32_text=rng.choice(["auto", "always", "never"]) if validation == "full" else "never",
        held=rng.random() < 0.5,
        lag=rng.choice([0.0, 0.1, 0.4]),
        flaps=rng.random() < 0.5,
        budget=rng.choice(["100000/300"] * 5 + ["60/2"]),
        faults=list(make_faults(rng)),
        disasters=[
            (rng.choice(["kill", "kill", "crash"]), rng.choice([0, 1, 2, 5, 10, 15]))
            for _ in range(rng.choice([0, 1, 1, 2, 3, 4]))
        ],
        duplicates=duplicates,
    )
    _add_rows(scenario, rng)
    scenario.changes = [rng.choice(["", "", "clear", "rewrite"]) for _ in scenario.disasters]
    scenario.cleared = rng.random() < 0.2
    _choose_parquet(scenario)
    _choose_parts(scenario)
    _choose_processes(scenario)
    return scenario


def _choose_processes(scenario: Scenario) -> None:
    """Decide which processes check rows. Its own random numbers leave the rest of the scenario unchanged."""
    rng = random.Random(f"processes {scenario.seed}")
    least = int(os.environ.get("STORM_PROCESSES", "1"))
    scenario.processes = max(least, rng.choice([1, 1, 2]))
    scenario.killed_checkers = rng.choice([0, 1, 3, 8]) if scenario.processes > 1 else 0


def _choose_parquet(scenario: Scenario) -> None:
    """Decide whether the source is Parquet. Its own random numbers leave the rest of the scenario unchanged."""
    if scenario.suffix == "" and random.Random(f"parquet {scenario.seed}").random() < 0.4:
        scenario.suffix = ".parquet"
        for number, line in scenario.bad:
            texts = scenario.texts[number]
            texts[line - 1] = _readable_bad_row(texts[line - 1])


def _readable_bad_row(text: bytes) -> bytes:
    """Return a bad row that Parquet can hold: the same one, or one without values in place of broken JSON."""
    try:
        json.loads(text)
    except ValueError:
        return b'{"id": "broken", "values": []}'
    return text


def _choose_parts(scenario: Scenario) -> None:
    """Decide whether the source consists of parts. Its own random numbers leave the rest of the scenario unchanged."""
    rng = random.Random(f"parts {scenario.seed}")
    splittable = scenario.suffix in ("", ".parquet")
    scenario.parts = splittable and not scenario.bad and not scenario.duplicates and rng.random() < 0.7
    if scenario.parts:
        # Lines have equal lengths, so that parts still begin at lines after shuffling, and only the version differs.
        width = max(len(text) for texts in scenario.texts for text in texts)
        scenario.texts = [[text.ljust(width) for text in texts] for texts in scenario.texts]
        scenario.changes = ["move" if rng.random() < 0.5 else change for change in ["", *scenario.changes]]


def make_faults(rng: random.Random, timeout: float = TIMEOUT) -> Iterator[dict[str, Any]]:
    """Yield rules for some or all kinds of faults, which together affect at most half of the requests.

    :param timeout: Seconds after which the client abandons a request.
    """
    kinds = rng.sample(FAULTS, rng.choice([0, 1, 2, 3, 5, 8, len(FAULTS)]))
    for fault in kinds:
        probability = min(rng.choice([0.02, 0.08, 0.2]), 0.5 / len(kinds))
        rule: dict[str, Any] = {"fault": fault, "probability": probability, "seed": rng.randrange(10**6)}
        if fault in APPLIED or fault in ("delay", "late") or rng.random() < 0.7:
            rule["operation"] = "write"
        if fault == "rate_limit":
            rule["retry_after"] = rng.choice([0, 1])
        elif fault == "answer":
            rule |= {"status": rng.choice([502, 503, 408, 425]), "text": "<html>not now</html>"}
        elif fault == "delay":
            rule["seconds"] = rng.choice([0.02, 0.1, timeout + 0.3])
        elif fault == "late":
            rule |= rng.choice([{}, {"status": 500}, {"status": 524}])
            rule["seconds"] = rng.choice([0.05, 0.3, 0.5])
        yield rule


def _add_rows(scenario: Scenario, rng: random.Random) -> None:
    count = rng.choice([30, 150, 400, 800])
    rows = make_rows(count, seed=scenario.seed)
    for row in rows:
        if rng.random() < 0.2:
            row["namespace"] = rng.choice(["a", "ä" * 10])
        if rng.random() < 0.3:
            row["metadata"] = {"n": rng.random(), "of": [{"k": "ü\u2028"}], "none": {}}
        if scenario.duplicates and rng.random() < 0.3:
            row["id"] = f"v{rng.randrange(count)}"
    earlier_load = rng.random()
    if earlier_load < 0.4:  # An earlier load wrote these vectors, and this one changes some of them.
        scenario.before = [dict(row) for row in rows if rng.random() < 0.5]
        changed = scenario.before[::2]
    elif earlier_load < 0.6:  # An earlier load wrote the same vectors, except for a few at the beginning.
        scenario.before = [dict(row) for row in rows]
        changed = scenario.before[:5]
    else:
        changed = []
    for row in changed:
        row["values"] = make_rows(1, seed=rng.randrange(10**6))[0]["values"]
    texts = [json.dumps(row).encode() for row in rows]
    bad = set(rng.sample(range(count), rng.choice([0, 0, 1, 4])))
    scenario.good = [row for place, row in enumerate(rows) if place not in bad]
    for place in bad:
        texts[place] = _make_bad(rows[place], rng)
    edges = sorted({0, count, *(rng.randrange(count) for _ in range(rng.choice([0, 1, 4])))})
    for number, (first, stop) in enumerate(pairwise(edges)):
        scenario.texts.append(texts[first:stop])
        scenario.bad += [(number, place - first + 1) for place in sorted(bad) if first <= place < stop]


def _make_bad(row: Row, rng: random.Random) -> bytes:
    return rng.choice([
        b"not json",
        json.dumps(row).encode()[:-5],
        json.dumps(row | {"values": row["values"][1:]}).encode(),
        json.dumps(row | {"metadata": {"a": {"$b": 1}}}).encode(),  # Passes the checks, but Vectorize refuses it.
        json.dumps(row | {"id": ""}).encode(),  # Passes the checks, but Vectorize refuses it.
    ])
