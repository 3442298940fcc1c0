# ruff: noqa: S311 - tests need reproducible random numbers, not secrets
"""Fault rules: which fault applies to which request. The effects of faults are in ``http.fault_effects``."""

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
    parse_choice,
    parse_fields,
)
from airflow_provider_vectorize.local.routes import ROUTES

# Options of each fault.
FAULTS: dict[str, dict[str, Field]] = {
    # Applied before the body is read
    "cut_before": {},
    "delay": {"seconds": SECONDS},
    "rate_limit": {"retry_after": COUNT},
    "throttle_40041": {},
    "http_500": {},
    "gateway_504_html": {},
    "gateway_524_html": {},
    "redirect": {"location": HEADER_TEXT},
    "answer": {"status": STATUS, "code": COUNT, "message": TEXT, "headers": HEADERS, "text": TEXT},
    # Applied while the body is read, or after it was read and before the operation
    "cut_during_body": {"after_bytes": COUNT},
    "cut_before_apply": {},
    # Applied after the body was read. The operation is carried out later
    "late": {"seconds": SECONDS, "status": STATUS},
    # Applied after the operation
    "cut_after_body": {},
    "cut_during_answer": {},
    "not_json": {},
    "no_mutation_id": {},
}
MATCH_FIELDS: dict[str, Field] = {"operation": TEXT, "method": TEXT, "path_contains": TEXT}
FREQUENCY_FIELDS: dict[str, Field] = {"times": TIMES, "after": COUNT, "probability": PROBABILITY, "seed": SEED}
FLAP_FIELDS: dict[str, Field] = {"index": TEXT, "probability": PROBABILITY, "times": TIMES, "seed": SEED}
OPERATIONS = {operation: method for method, _, operation in ROUTES}


@dataclass(slots=True)
class Rule:
    """Applies one fault to matching requests.

    :param times: Number of requests that get the fault. None: no limit.
    :param after: Number of matching requests that pass before the first fault.
    """

    fault: str
    operation: str | None = None
    method: str | None = None
    path_contains: str | None = None
    times: int | None = 1
    after: int = 0
    probability: float = 1.0
    options: Json = field(default_factory=dict)
    hits: int = 0
    generator: random.Random = field(default_factory=random.Random, repr=False)

    @classmethod
    def parse(cls, body: Json) -> Rule:
        """Parse a rule in the format of the control API.

        :raises BadValue: The rule is invalid. The message says why.
        """
        if not isinstance(body, dict):
            raise BadValue("A fault must be a JSON object.")
        fault = parse_choice("fault", body.get("fault"), FAULTS)
        match = parse_fields(body.get("match") or {}, MATCH_FIELDS)
        parse_choice("operation", match.get("operation", "info"), OPERATIONS)
        rest = {name: value for name, value in body.items() if name not in ("fault", "match")}
        options = parse_fields(rest, FREQUENCY_FIELDS | FAULTS[fault])
        return cls(
            fault,
            match.get("operation"),
            match.get("method"),
            match.get("path_contains"),
            options.get("times") if "times" in body else 1,
            options.get("after", 0),
            options.get("probability", 1.0),
            {name: value for name, value in options.items() if name in FAULTS[fault]},
            generator=random.Random(options.get("seed", 0)),
        )

    def claims(self, operation: str, method: str, path: str) -> bool:
        """Check whether the fault applies to a request, and count the hit."""
        if self.operation not in (None, operation) or self.method not in (None, method):
            return False
        if self.path_contains is not None and self.path_contains not in path:
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.probability < 1 and self.generator.random() >= self.probability:
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
    """Lets reads answer from the state before the last batch: every second read, or with a probability."""

    index: str | None = None
    probability: float | None = None
    times: int | None = None
    generator: random.Random = field(default_factory=random.Random, repr=False)
    reads: int = 0
    stale: int = 0

    @classmethod
    def parse(cls, body: Json) -> Flap:
        """Parse the settings of flapping reads in the format of the control API.

        :raises BadValue: A setting is invalid. The message says why.
        """
        options = parse_fields(body, FLAP_FIELDS)
        return cls(
            options.get("index"),
            options.get("probability"),
            options.get("times"),
            random.Random(options.get("seed", 0)),
        )

    def next_read_is_stale(self, index: str) -> bool:
        """Decide whether the next read of an index is stale, and count it."""
        if self.index not in (None, index) or (self.times is not None and self.stale >= self.times):
            return False
        self.reads += 1
        stale = self.reads % 2 == 1 if self.probability is None else self.generator.random() < self.probability
        self.stale += stale
        return stale

    def describe(self) -> Json:
        return {"index": self.index, "probability": self.probability, "times": self.times, "stale": self.stale}


class Faults:
    """All active fault rules. The first rule that matches a request is applied."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.flap: Flap | None = None

    def add(self, body: Json) -> None:
        self.rules.append(Rule.parse(body))

    def clear(self) -> None:
        self.rules.clear()
        self.flap = None

    def find_rule(self, operation: str, method: str, path: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.claims(operation, method, path)), None)

    def next_read_is_stale(self, index: str) -> bool:
        return self.flap is not None and self.flap.next_read_is_stale(index)

    def describe(self) -> dict[str, Any]:
        return {
            "faults": [rule.describe() for rule in self.rules],
            "flap": None if self.flap is None else self.flap.describe(),
        }
