# ruff: noqa: S311 - a test wants the same luck each time, not secrets
"""Faults on demand: which request meets which fault. What a fault does is in ``sabotage``."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_vectorize.local.engine.records import Json
from airflow_provider_vectorize.local.faults.values import (
    COUNT,
    HEADER_TEXT,
    HEADERS,
    PROBABILITY,
    SECONDS,
    SEED,
    STATUS,
    TEXT,
    TIMES,
    BadValue,
    Field,
    checked,
    one_of,
)
from airflow_provider_vectorize.local.routes import ROUTES

# Each fault with its options.
FAULTS: dict[str, dict[str, Field]] = {
    # Before the body is read
    "cut_before": {},
    "delay": {"seconds": SECONDS},
    "rate_limit": {"retry_after": COUNT},
    "throttle_40041": {},
    "http_500": {},
    "gateway_504_html": {},
    "gateway_524_html": {},
    "redirect": {"location": HEADER_TEXT},
    "answer": {"status": STATUS, "code": COUNT, "message": TEXT, "headers": HEADERS, "text": TEXT},
    # While it is read, and when it has been read but not applied
    "cut_during_body": {"after_bytes": COUNT},
    "cut_before_apply": {},
    # When it has been read; applied later
    "late": {"seconds": SECONDS, "status": STATUS},
    # When the operation is done
    "cut_after_body": {},
    "cut_during_answer": {},
    "not_json": {},
    "no_mutation_id": {},
}
MATCH: dict[str, Field] = {"operation": TEXT, "method": TEXT, "path_contains": TEXT}
WHEN: dict[str, Field] = {"times": TIMES, "after": COUNT, "probability": PROBABILITY, "seed": SEED}
FLAP: dict[str, Field] = {"index": TEXT, "probability": PROBABILITY, "times": TIMES, "seed": SEED}
OPERATIONS = {operation: method for method, _, operation in ROUTES}


@dataclass(slots=True)
class Rule:
    """``times`` None is for ever. ``after`` lets that many matching requests pass first."""

    fault: str
    operation: str | None = None
    method: str | None = None
    path_contains: str | None = None
    times: int | None = 1
    after: int = 0
    probability: float = 1.0
    options: Json = field(default_factory=dict)
    hits: int = 0
    random: random.Random = field(default_factory=random.Random, repr=False)

    @classmethod
    def parse(cls, body: Json) -> Rule:
        """Return the rule that the JSON of the control API means. Raise BadValue with what is wrong."""
        if not isinstance(body, dict):
            raise BadValue("A fault is a JSON object.")
        fault = one_of("fault", body.get("fault"), FAULTS)
        match = checked(body.get("match") or {}, MATCH)
        one_of("operation", match.get("operation", "info"), OPERATIONS)
        rest = {name: value for name, value in body.items() if name not in ("fault", "match")}
        given = checked(rest, WHEN | FAULTS[fault])
        return cls(
            fault,
            match.get("operation"),
            match.get("method"),
            match.get("path_contains"),
            given.get("times") if "times" in body else 1,
            given.get("after", 0),
            given.get("probability", 1.0),
            {name: value for name, value in given.items() if name in FAULTS[fault]},
            random=random.Random(given.get("seed", 0)),
        )

    def meets(self, operation: str, method: str, path: str) -> bool:
        """Whether a request meets this fault now; counts it if so."""
        if self.operation not in (None, operation) or self.method not in (None, method):
            return False
        if self.path_contains is not None and self.path_contains not in path:
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.probability < 1 and self.random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def describe(self) -> Json:
        return {
            "fault": self.fault,
            "match": {"operation": self.operation, "method": self.method, "path_contains": self.path_contains},
            "times": self.times,
            "hits": self.hits,
            "probability": self.probability,
            **self.options,
        }


@dataclass(slots=True)
class Flap:
    """Lets reads answer from before the last batch: every other one, or with a probability."""

    index: str | None = None
    probability: float | None = None
    times: int | None = None
    random: random.Random = field(default_factory=random.Random, repr=False)
    reads: int = 0
    stale: int = 0

    @classmethod
    def parse(cls, body: Json) -> Flap:
        """Return what the JSON of the control API means. Raise BadValue with what is wrong."""
        given = checked(body, FLAP)
        return cls(
            given.get("index"), given.get("probability"), given.get("times"), random.Random(given.get("seed", 0))
        )

    def stale_now(self, index: str) -> bool:
        if self.index not in (None, index) or (self.times is not None and self.stale >= self.times):
            return False
        self.reads += 1
        stale = self.reads % 2 == 1 if self.probability is None else self.random.random() < self.probability
        self.stale += stale
        return stale

    def describe(self) -> Json:
        return {"index": self.index, "probability": self.probability, "times": self.times, "stale": self.stale}


class Faults:
    """The rules in force; the first that a request meets is the one that happens."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.flap: Flap | None = None

    def add(self, body: Json) -> None:
        self.rules.append(Rule.parse(body))

    def clear(self) -> None:
        self.rules.clear()
        self.flap = None

    def meet(self, operation: str, method: str, path: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.meets(operation, method, path)), None)

    def stale_now(self, index: str) -> bool:
        return self.flap is not None and self.flap.stale_now(index)

    def describe(self) -> dict[str, Any]:
        return {
            "faults": [rule.describe() for rule in self.rules],
            "flap": None if self.flap is None else self.flap.describe(),
        }
