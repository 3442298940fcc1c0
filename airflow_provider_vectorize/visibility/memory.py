"""What one process knows of one index: frozen values that the visibility rule reads and replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_vectorize.visibility.waits import Wait

#: The waits of one sensor.
Group = tuple[Wait, ...]


@dataclass(frozen=True)
class Marker:
    """An acknowledged write without effect, behind all mutations that were waited for when it was sent.

    :param mutation_id: its mutation.
    :param check: number of the check that sent it. It stands behind the mutations of all waits that began by then.
    :param watermark_before: the watermark when it was sent.
    :param vector_id: the id of its vector, for markers of the kind ``vector``.
    """

    mutation_id: str
    check: int
    watermark_before: str | None
    vector_id: str | None = None


@dataclass(frozen=True)
class WaitState:
    """What is known of one wait.

    :param began: number of the check at which it began.
    :param covered_from: number of the check from which a marker counts, or ``None`` while the incarnation of the index
        that the wait belongs to is not known.
    :param created_on: that incarnation.
    :param recreated: checks in a row that found another incarnation.
    :param proof: why the mutation is visible, or empty.
    """

    began: int
    covered_from: int | None
    created_on: str | None
    recreated: int = 0
    proof: str = ""


@dataclass(frozen=True)
class GroupState:
    """What is known of the waits of one sensor.

    :param began_at: seconds of the clock.
    :param foreign: checks that showed the watermark of another writer after the acknowledgement.
    """

    began_at: float
    foreign: int = 0


@dataclass(frozen=True)
class Memory:
    """What one process knows of one index. Lost with the process, which costs time and never soundness.

    :param checks: number of the last check.
    :param shown: watermarks seen, with the number of the last check that saw each.
    :param watermark: the last one seen.
    :param moves: how often the watermark was another one than at the check before.
    :param markers: all markers that a wait may still need.
    :param markers_sent: how many were sent, also those whose answer was lost.
    :param next_marker_at: seconds of the clock before which no marker is sent.
    :param markers_refused: why Vectorize refuses markers, or empty.
    :param gone: checks in a row that found no index.
    :param incarnation: the ``created_on`` that was read last, and the first check since which no other was read.
    """

    checks: int = 0
    shown: Mapping[str, int] = field(default_factory=dict)
    watermark: str | None = None
    moves: int = 0
    markers: tuple[Marker, ...] = ()
    markers_sent: int = 0
    next_marker_at: float = float("-inf")
    markers_refused: str = ""
    gone: int = 0
    incarnation: tuple[str, int] | None = None
    waits: Mapping[Wait, WaitState] = field(default_factory=dict)
    groups: Mapping[Group, GroupState] = field(default_factory=dict)
