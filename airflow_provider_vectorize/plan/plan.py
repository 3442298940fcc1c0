"""A plan: how a load is shared out, and what it will cost. Estimates come from a few small reads of the source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_vectorize.api.limits import LIMITS, MUTATIONS_FOLDED, VECTORS_FOLDED, WINDOW_SECONDS, Limits
from airflow_provider_vectorize.api.retry import QUOTA
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.parameters import (
    Check,
    check_values,
    instance_of,
    optional,
    positive_number,
    whole_number,
)
from airflow_provider_vectorize.plan.shards import Item, Piece, deal
from airflow_provider_vectorize.plan.survey import Survey, Surveyed
from airflow_provider_vectorize.quantities import format_size, pluralize
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.compression import is_compressed

#: Requests of a task beside its batches: what index it is, and the samples before the last batch.
REQUESTS_A_TASK = 2

#: Checks of the parameters of a plan, by name.
PLAN_CHECKS: Mapping[str, Check] = {
    "shards": whole_number(1),
    "mb_per_second": optional(positive_number),
    "limits": instance_of(Limits),
}


@dataclass(frozen=True)
class Plan:
    """A load before it begins. Numbers of vectors, bytes of text and all that follows from them are estimates.

    :param shards: for each task, the names of its objects and parts, in the order of the source.
    :param objects: of the source.
    :param stored_bytes: theirs, as stored.
    :param text_bytes: decompressed.
    :param largest_shard_bytes: of its text.
    :param vectors: rows, without regard to ids that come twice.
    :param new_vectors: those of them whose ids are not in the index.
    :param room: vectors that the index can still take.
    :param bytes_to_send: with values as float32 text, where that is shorter.
    :param requests: batches under both limits, and each task's own few.
    :param budget_share: the requests' share of what the account has for five minutes; may be more than 1.
    :param processing_jobs: in which Vectorize makes the batches visible: 200,000 vectors or 1,000 updates each.
    :param minutes: how long the load takes, as far as is known.
    :param minutes_by: what ``minutes`` was reckoned with: ``rate``, the one that was given; or ``budget``, the least
        that the account's requests allow.
    """

    shards: tuple[tuple[str, ...], ...]
    objects: int
    stored_bytes: int
    text_bytes: int
    largest_shard_bytes: int
    vectors: int
    new_vectors: int
    room: int
    bytes_to_send: int
    requests: int
    budget_share: float
    processing_jobs: int
    minutes: float
    minutes_by: str

    def kwargs(self) -> list[dict[str, Any]]:
        """For ``expand_kwargs`` of a load operator: one ``source`` a task."""
        return [{"source": list(names)} for names in self.shards]

    def summary(self) -> dict[str, Any]:
        """All but the names, JSON-plain."""
        return asdict(self) | {"shards": len(self.shards)}

    def told(self) -> str:
        """Return the plan as sentences for the log."""
        way = "at the given rate" if self.minutes_by == "rate" else "at least, by the account's budget of requests"
        minutes = f"{self.minutes:,.1f} minutes" if self.minutes else "Less than a minute"
        return (
            f"{pluralize(self.objects, 'object')} ({format_size(self.stored_bytes)} as stored) in "
            f"{pluralize(len(self.shards), 'shard')} of at most {format_size(self.largest_shard_bytes)} of text. About "
            f"{pluralize(self.vectors, 'vector')}, {self.new_vectors:,} of them new to the index, which has room for "
            f"{self.room:,}. About {format_size(self.bytes_to_send)} to send in {pluralize(self.requests, 'request')} "
            f"({self.budget_share:.0%} of the budget of five minutes), "
            f"{pluralize(self.processing_jobs, 'processing job')}. {minutes} {way}."
        )


def refuse_parts(objects: Sequence[Surveyed]) -> None:
    """Refuse a source that a plan has cut already.

    :raises ConfigError: one of its names is that of a part of an object.
    """
    if odd := [item.uri for item in objects if parts.object_name(item.uri) != item.uri]:
        raise ConfigError(f"{odd[0]} is named like a part of an object: only whole objects can be planned.")


def plan(
    objects: Sequence[Surveyed],
    seen: Survey,
    *,
    shards: int,
    room: int,
    share_new: float = 1.0,
    quota: int = QUOTA,
    reserve: float = 0.0,
    mb_per_second: float | None = None,
    limits: Limits = LIMITS,
) -> Plan:
    """Share a source out, and reckon what its load will cost.

    :param objects: in the order of the source.
    :param seen: of them.
    :param shards: the most.
    :param room: vectors that the index can still take.
    :param share_new: share of the vectors whose ids are not in it.
    :param quota: requests that the account has for five minutes.
    :param reserve: share of them that is left to others.
    :param mb_per_second: what all tasks together send.
    :raises ConfigError: the index cannot take so many vectors, or a parameter is wrong.
    :raises SourceError: an object cannot be cut, since it has no lines.
    """
    check_values(PLAN_CHECKS, shards=shards, mb_per_second=mb_per_second, limits=limits)
    refuse_parts(objects)
    sizes_of_text = [math.ceil((item.size or 0) * ratio) for item, ratio in zip(objects, seen.ratios, strict=True)]
    items, shared_out = _deal(objects, sizes_of_text, shards)
    text_bytes = sum(item.size for item in items)
    vectors = round(text_bytes / seen.row_bytes)
    new = round(vectors * share_new)
    if new > room:
        raise ConfigError(
            f"The load cannot fit into the index: the source has about {vectors:,} vectors, about {new:,} of them new "
            f"to the index, which has room for {room:,} of {limits.vectors_per_index:,}. Delete what has gone or load "
            "less; or, where your account's limit is another, pass limits=Limits(vectors_per_index=...)."
        )
    dealt = _at_ends_of_lines(objects, shared_out)
    sizes = [sum(piece.end - piece.start for piece in shard) for shard in dealt]
    row_bytes = seen.row_bytes * seen.share_sent
    batches = sum(_batches(round(size / seen.row_bytes), row_bytes, limits) for size in sizes)
    requests = batches + REQUESTS_A_TASK * len(dealt)
    bytes_to_send = round(vectors * row_bytes)
    # The budget of the first window is there at once.
    by_budget = max(0.0, requests / (quota * (1 - reserve)) - 1) * WINDOW_SECONDS / 60
    by_rate = bytes_to_send / 1e6 / mb_per_second / 60 if mb_per_second else 0.0
    return Plan(
        shards=tuple(tuple(_name(objects[p.item], items[p.item], p) for p in shard) for shard in dealt),
        objects=len(objects),
        stored_bytes=sum(item.size or 0 for item in objects),
        text_bytes=text_bytes,
        largest_shard_bytes=max(sizes),
        vectors=vectors,
        new_vectors=new,
        room=room,
        bytes_to_send=bytes_to_send,
        requests=requests,
        budget_share=round(requests / quota, 3),
        processing_jobs=max(math.ceil(vectors / VECTORS_FOLDED), math.ceil(batches / MUTATIONS_FOLDED)),
        minutes=round(max(by_rate, by_budget), 1),
        minutes_by="rate" if by_rate > by_budget else "budget",
    )


def _deal(
    objects: Sequence[Surveyed], sizes: Sequence[int], shards: int
) -> tuple[list[Item], Sequence[Sequence[Piece]]]:
    """Distribute the source to shards without cutting compressed objects.

    The store is asked for the encoding only of objects that would be cut.
    """
    whole = {number for number, item in enumerate(objects) if is_compressed(item.key)}
    while True:
        items = [Item(size, number not in whole) for number, size in enumerate(sizes)]
        dealt = deal(items, shards)
        cut = {p.item for shard in dealt for p in shard if (p.start, p.end) != (0, items[p.item].size)} - whole
        encoded = {number for number in cut if is_compressed(objects[number].key, objects[number].encoding)}
        if not encoded:
            return items, dealt
        whole |= encoded


def _at_ends_of_lines(objects: Sequence[Surveyed], dealt: Sequence[Sequence[Piece]]) -> list[list[Piece]]:
    """The same shards, each cut moved on to the next line. What is empty then is no piece."""
    cuts: dict[tuple[int, int], int] = {}

    def moved(number: int, at: int, size: int) -> int:
        if at in (0, size):
            return at
        if (number, at) not in cuts:
            cuts[number, at] = parts.next_line_start(objects[number].read, at, size)
        return cuts[number, at]

    sizes = {p.item: p.end for shard in dealt for p in shard}  # the last piece of an object ends where it does
    shards = []
    for shard in dealt:
        pieces = [
            Piece(p.item, moved(p.item, p.start, sizes[p.item]), moved(p.item, p.end, sizes[p.item])) for p in shard
        ]
        shards.append([p for p in pieces if p.start < p.end or not sizes[p.item]])
    return [shard for shard in shards if shard]


def _name(item: Surveyed, known: Item, piece: Piece) -> str:
    """The object's name, or the part's."""
    uncut = not piece.start and piece.end == known.size
    return item.name if uncut else item.name_of_part(parts.Part(piece.start, piece.end))


def _batches(vectors: int, row_bytes: float, limits: Limits) -> int:
    """Requests for so many rows."""
    fit = min(limits.vectors_per_request, max(1, int(limits.bytes_per_request / row_bytes)))
    return max(1, math.ceil(vectors / fit))
