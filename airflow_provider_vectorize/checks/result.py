"""The result of a check, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class GateResult:
    """The verdict of one gate.

    :param name: Name of the gate, such as ``recall``.
    :param status: ``passed``, ``failed`` or ``skipped``.
    :param text: What was found, or why the gate was skipped.
    :param value: What was measured, or ``None`` if the gate was skipped.
    :param threshold: The minimum or maximum, or ``None``.
    :param at_least: Whether the threshold is a minimum.
    """

    name: str
    status: Status
    text: str
    value: float | None = None
    threshold: float | None = None
    at_least: bool = True

    @property
    def label(self) -> str:
        """Return the name for people."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class QueryOutcome:
    """The outcome of one query.

    :param label: The ID of the query, or its line in the object of golden queries.
    :param golden: Whether a person chose the query.
    :param rank: Rank of the first expected match, from 1, or ``None`` if there is none.
    :param recall: Share of the expected IDs that were found, or ``None`` if that was not checked.
    :param missing: A few expected IDs that were not found.
    """

    label: str
    golden: bool
    rank: int | None
    recall: float | None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    :param index_name: Name of the index.
    :param created_on: ISO 8601, creation time of the index that was checked.
    :param vector_count: Number of vectors that the index reported.
    :param gates: The verdicts, in the order in which the gates ran.
    :param queries: The outcome of each query.
    :param requests: Number of requests that the check sent.
    :param report_path: Name of the report, if it was written.
    """

    index_name: str
    created_on: str | None
    vector_count: int
    gates: Sequence[GateResult]
    queries: Sequence[QueryOutcome]
    requests: int
    report_path: str | None = None

    @property
    def failed(self) -> list[GateResult]:
        """Return the gates that failed."""
        return [gate for gate in self.gates if gate.status == "failed"]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON, without the outcomes of single queries."""
        return {
            "index_name": self.index_name,
            "created_on": self.created_on,
            "passed": not self.failed,
            "vector_count": self.vector_count,
            "gates": {gate.name: _without_name(gate) for gate in self.gates},
            "queries": len(self.queries),
            "requests": self.requests,
            "report_path": self.report_path,
        }

    def failure(self) -> str:
        """Return one message that names everything that fell short."""
        failed, run = self.failed, [gate for gate in self.gates if gate.status != "skipped"]
        problems = "; ".join(f"{gate.label}: {gate.text}" for gate in failed)
        report = f" The report is {self.report_path}." if self.report_path else ""
        return (
            f'{len(failed)} of {len(run)} gates of index "{self.index_name}" failed. {problems}.{report} Nothing was '
            "written to the index."
        )


def _without_name(gate: GateResult) -> dict[str, Any]:
    plain = asdict(gate)
    del plain["name"]
    return plain
