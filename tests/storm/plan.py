"""What one run of the storm is made of: everything that a seed decides."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.support import Row, make_rows

#: Seconds after which the loading process takes a request for lost.
TIMEOUT = 1.0
#: Seconds for which the load takes a request that was given up to be carried out still.
LATE_SECONDS = 1.5
#: What is applied though the client hears nothing good of it, so that it is sent again.
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
class Plan:
    """One run.

    :param faults: rules for the local Vectorize.
    :param disasters: ``kill`` the load or ``crash`` the local Vectorize, one an attempt, after so many writes.
    :param texts: the lines of each object, good and bad.
    :param good: the good rows, in order.
    :param bad: object and line of each bad one.
    :param before: what the index holds already.
    :param changes: what happens between two attempts: the task is cleared, or the source is written anew.
    :param cleared: whether the task is cleared once more when it has succeeded.
    :param parts: whether the source is given as parts of its objects, as a plan of shards does, and the objects are
        sorted anew between the plan and the load. Then no row is bad and no id comes twice, so that order is no matter.
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

    @property
    def index(self) -> str:
        return f"storm-{self.seed}"


def plan(seed: int) -> Plan:
    """The run of a seed."""
    rng = random.Random(seed)
    duplicates = rng.random() < 0.4
    validation = rng.choice(["full", "full", "light", "off"])
    made = Plan(
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
        faults=list(_faults(rng)),
        disasters=[
            (rng.choice(["kill", "kill", "crash"]), rng.choice([0, 1, 2, 5, 10, 15]))
            for _ in range(rng.choice([0, 1, 1, 2, 3, 4]))
        ],
        duplicates=duplicates,
    )
    _fill(made, rng)
    made.changes = [rng.choice(["", "", "clear", "rewrite"]) for _ in made.disasters]
    made.cleared = rng.random() < 0.2
    _cut(made)
    return made


def _cut(made: Plan) -> None:
    """Decide whether the source is given as parts. By luck of its own, so that all else of a seed stays as it is."""
    rng = random.Random(f"parts {made.seed}")
    made.parts = made.suffix == "" and not made.bad and not made.duplicates and rng.random() < 0.7
    if made.parts:
        # Lines of one length: after sorting, lines still begin where parts do, and only their version tells.
        width = max(len(text) for texts in made.texts for text in texts)
        made.texts = [[text.ljust(width) for text in texts] for texts in made.texts]
        made.changes = ["move" if rng.random() < 0.5 else change for change in ["", *made.changes]]


def _faults(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Some kinds, or all; together they leave every other request alone at least."""
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
            rule["seconds"] = rng.choice([0.02, 0.1, TIMEOUT + 0.3])
        elif fault == "late":
            rule |= rng.choice([{}, {"status": 500}, {"status": 524}])
            rule["seconds"] = rng.choice([0.05, 0.3, 0.5])
        yield rule


def _fill(made: Plan, rng: random.Random) -> None:
    count = rng.choice([30, 150, 400, 800])
    rows = make_rows(count, seed=made.seed)
    for row in rows:
        if rng.random() < 0.2:
            row["namespace"] = rng.choice(["a", "ä" * 10])
        if rng.random() < 0.3:
            row["metadata"] = {"n": rng.random(), "of": [{"k": "ü\u2028"}], "none": {}}
        if made.duplicates and rng.random() < 0.3:
            row["id"] = f"v{rng.randrange(count)}"
    nights = rng.random()
    if nights < 0.4:  # last night's vectors, of which this load changes some
        made.before = [dict(row) for row in rows if rng.random() < 0.5]
        changed = made.before[::2]
    elif nights < 0.6:  # the same ones, but for a few at the beginning
        made.before = [dict(row) for row in rows]
        changed = made.before[:5]
    else:
        changed = []
    for row in changed:
        row["values"] = make_rows(1, seed=rng.randrange(10**6))[0]["values"]
    texts = [json.dumps(row).encode() for row in rows]
    bad = set(rng.sample(range(count), rng.choice([0, 0, 1, 4])))
    made.good = [row for place, row in enumerate(rows) if place not in bad]
    for place in bad:
        texts[place] = _spoil(rows[place], rng)
    edges = sorted({0, count, *(rng.randrange(count) for _ in range(rng.choice([0, 1, 4])))})
    for number, (first, stop) in enumerate(pairwise(edges)):
        made.texts.append(texts[first:stop])
        made.bad += [(number, place - first + 1) for place in sorted(bad) if first <= place < stop]


def _spoil(row: Row, rng: random.Random) -> bytes:
    return rng.choice([
        b"not json",
        json.dumps(row).encode()[:-5],
        json.dumps(row | {"values": row["values"][1:]}).encode(),
        json.dumps(row | {"metadata": {"a": {"$b": 1}}}).encode(),  # passes the checks, and Vectorize refuses it
        json.dumps(row | {"id": ""}).encode(),  # the same
    ])
