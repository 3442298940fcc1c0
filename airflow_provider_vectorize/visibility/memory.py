"""State that one process keeps about one index: frozen values that the visibility rule reads and replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_vectorize.visibility.waits import Wait

#: All waits of one sensor for one index.
WaitGroup = tuple[Wait, ...]


@dataclass(frozen=True)
class Marker:
    """An acknowledged write without effect, sent after the mutations of all waits that had begun by then.

    :param mutation_id: Mutation id of the marker.
    :param check_number: Number of the check that sent the marker. The marker covers every wait that began in this
        check or earlier.
    :param watermark_before: Watermark of the index when the marker was sent.
    :param vector_id: Id of the marker's vector. ``None`` if the marker is a deletion or its vector is deleted.
    """

    mutation_id: str
    check_number: int
    watermark_before: str | None
    vector_id: str | None = None


@dataclass(frozen=True)
class WaitState:
    """What the checks so far have shown about one wait.

    :param first_check: Number of the check in which the wait began.
    :param covered_from: Number of the first check whose markers count as proof. ``None`` while the incarnation of the
        index that the wait belongs to is unknown.
    :param created_on: Creation time that identifies this incarnation.
    :param recreated_checks: Number of consecutive checks that found another incarnation.
    :param proof: Why the mutation is visible. Empty until this is proved.
    """

    first_check: int
    covered_from: int | None
    created_on: str | None
    recreated_checks: int = 0
    proof: str = ""


@dataclass(frozen=True)
class GroupState:
    """What the checks so far have shown about the waits of one sensor.

    :param started_at: Clock time in seconds at which the sensor's first check began.
    :param foreign_checks: Number of checks that showed another writer's watermark after the acknowledgement.
    """

    started_at: float
    foreign_checks: int = 0


@dataclass(frozen=True)
class Memory:
    """Everything that one process knows about one index.

    The memory is lost when the process ends. This makes the wait longer but never makes a proof unsound.

    :param checks: Number of the latest check, counted from 1.
    :param shown: Ids of mutations that the index has shown, each with the number of the latest check that showed it.
    :param watermark: Latest watermark.
    :param watermark_changes: Number of checks that found another watermark than the check before.
    :param markers: Markers that may still prove a wait.
    :param markers_sent: Number of markers sent, including those whose answer was lost.
    :param next_marker_at: Clock time in seconds before which no marker is sent.
    :param marker_refusal: Why Vectorize refuses markers. Empty if it does not.
    :param missing_checks: Number of consecutive checks that did not find the index.
    :param incarnation: Latest ``created_on``, with the number of the first check since which it has not changed.
    :param waits: State of each wait.
    :param groups: State of the waits of each sensor.
    """

    checks: int = 0
    shown: Mapping[str, int] = field(default_factory=dict)
    watermark: str | None = None
    watermark_changes: int = 0
    markers: tuple[Marker, ...] = ()
    markers_sent: int = 0
    next_marker_at: float = float("-inf")
    marker_refusal: str = ""
    missing_checks: int = 0
    incarnation: tuple[str, int] | None = None
    waits: Mapping[Wait, WaitState] = field(default_factory=dict)
    groups: Mapping[WaitGroup, GroupState] = field(default_factory=dict)
