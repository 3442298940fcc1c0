# ruff: noqa: S311 - a test wants the same luck each time, not secrets
"""Faults on demand: which request meets which fault. What a fault does is in ``sabotage``."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from .records import Json

BEFORE = (
    "cut_before",
    "rate_limit",
    "throttle_40041",
    "http_500",
    "gateway_504_html",
    "gateway_524_html",
    "redirect",
    "answer",
    "delay",
)
DURING = ("cut_during_body",)
BEFORE_APPLY = ("cut_before_apply",)
AFTER = ("cut_after_body", "cut_during_answer", "not_json", "no_mutation_id")
FAULTS = BEFORE + DURING + BEFORE_APPLY + AFTER
OPTIONS: dict[str, set[str]] = {
    "rate_limit": {"retry_after"},
    "delay": {"seconds"},
    "redirect": {"location"},
    "answer": {"status", "code", "message", "headers", "text"},
    "cut_during_body": {"after_bytes"},
}


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
        """From the JSON of the control API. Raises ValueError with what is wrong."""
        fault = body.get("fault")
        if fault not in FAULTS:
            raise ValueError(f"no such fault: {fault!r}; there are {', '.join(FAULTS)}")
        match = body.get("match") or {}
        own = {"fault", "match", "times", "after", "probability", "seed"}
        options = {key: value for key, value in body.items() if key not in own}
        unknown = set(options) - OPTIONS.get(fault, set()) | set(match) - {"operation", "method", "path_contains"}
        if unknown:
            raise ValueError(f"unknown options of {fault}: {', '.join(sorted(unknown))}")
        return cls(
            fault,
            match.get("operation"),
            match.get("method"),
            match.get("path_contains"),
            body.get("times", 1),
            body.get("after", 0),
            body.get("probability", 1.0),
            options,
            random=random.Random(body.get("seed", 0)),
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
        return cls(body.get("index"), body.get("probability"), body.get("times"), random.Random(body.get("seed", 0)))

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
