"""Plan a load before it starts: split its source into shards, and estimate its cost."""

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
from airflow_provider_vectorize.plan.splitting import split_source
from airflow_provider_vectorize.plan.survey import Survey, SurveyedObject
from airflow_provider_vectorize.quantities import format_size, pluralize
from airflow_provider_vectorize.sources import parts
from airflow_provider_vectorize.sources.fields import parse_fields
from airflow_provider_vectorize.sources.formats import FORMAT

#: Requests of a task besides its batches: one reads the index, the other the samples before the last batch.
REQUESTS_PER_TASK = 2

#: Checks of the parameters of a plan, by parameter name.
PLAN_CHECKS: Mapping[str, Check] = {
    "shards": whole_number(1),
    "mb_per_second": optional(positive_number),
    "limits": instance_of(Limits),
    "format": FORMAT,
    "fields": parse_fields,
}


@dataclass(frozen=True)
class Plan:
    """The shards of a load and its estimated cost.

    The number of vectors, the bytes of text, and everything that follows from them are estimates. Of Parquet, the
    number of vectors is exact if the survey read all footers, and text means the rows as they are sent.

    :param shards: For each task, the names of its objects and parts, in the order of the source.
    :param objects: Number of objects of the source.
    :param stored_bytes: Bytes of the objects as stored.
    :param text_bytes: Bytes of their text, decompressed. Of Parquet, bytes of the rows as they are sent.
    :param largest_shard_bytes: Bytes of text of the largest shard.
    :param vectors: Number of rows. An ID that occurs twice counts twice.
    :param new_vectors: Number of rows whose IDs are not in the index.
    :param room: Number of vectors that the index can still take.
    :param bytes_to_send: Bytes of all request bodies, with values as float32 text if that is shorter.
    :param requests: Number of requests: batches within both limits, and two more for each task.
    :param budget_share: The share of the account's budget of five minutes that the requests use. It may exceed 1.
    :param processing_jobs: Minimum number of jobs in which Vectorize makes the batches visible. A job takes 200,000
        vectors or 1,000 mutations.
    :param minutes: Estimated duration of the load in minutes.
    :param minutes_by: The basis of ``minutes``: ``rate`` is the given rate, ``budget`` is the minimum that the
        account's request budget allows.
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
        """Return the arguments for ``expand_kwargs`` of a load operator: one ``source`` for each task."""
        return [{"source": list(names)} for names in self.shards]

    def summary(self) -> dict[str, Any]:
        """Return everything as plain JSON, with the number of shards in place of their names."""
        return asdict(self) | {"shards": len(self.shards)}

    def describe(self) -> str:
        """Return the plan as sentences for the log."""
        basis = "at the given rate" if self.minutes_by == "rate" else "at least, limited by the request budget"
        minutes = f"{self.minutes:,.1f} minutes" if self.minutes else "less than a minute"
        return (
            f"{pluralize(self.objects, 'object')} ({format_size(self.stored_bytes)} as stored) in "
            f"{pluralize(len(self.shards), 'shard')} of at most {format_size(self.largest_shard_bytes)} of text. About "
            f"{pluralize(self.vectors, 'vector')}, of which {self.new_vectors:,} are new to the index, which has room "
            f"for {self.room:,}. About {format_size(self.bytes_to_send)} to send in "
            f"{pluralize(self.requests, 'request')} ({self.budget_share:.0%} of the request budget of five minutes), "
            f"{pluralize(self.processing_jobs, 'processing job')}. Duration: {minutes} {basis}."
        )


def require_whole_objects(objects: Sequence[SurveyedObject]) -> None:
    """Refuse a source that is already split.

    :raises ConfigError: An object of the source is a part of an object.
    """
    split = [surveyed.uri for surveyed in objects if parts.object_name(surveyed.uri) != surveyed.uri]
    if split:
        raise ConfigError(f"{split[0]} is a part of an object, but only whole objects can be planned.")


def plan(
    objects: Sequence[SurveyedObject],
    survey: Survey,
    *,
    shards: int,
    room: int,
    share_new: float = 1.0,
    quota: int = QUOTA,
    reserve: float = 0.0,
    mb_per_second: float | None = None,
    limits: Limits = LIMITS,
) -> Plan:
    """Split a source into shards and estimate the cost of loading it.

    :param objects: The source, in order.
    :param survey: The survey of these objects.
    :param shards: Maximum number of shards.
    :param room: Number of vectors that the index can still take.
    :param share_new: The share of the vectors whose IDs are not in the index. Default: all.
    :param quota: The account's requests in five minutes. Default: 1,200.
    :param reserve: The share of the quota that is left to other users. Default: 0.
    :param mb_per_second: The rate of all tasks together in MB/s, if it is known.
    :param limits: Cloudflare's limits.
    :raises ConfigError: The index cannot take so many vectors, or a parameter is invalid.
    :raises SourceError: An object cannot be split, because it has no line endings, or its footer cannot be read.
    """
    check_values(PLAN_CHECKS, shards=shards, mb_per_second=mb_per_second, limits=limits)
    require_whole_objects(objects)
    text_sizes = survey.text_sizes(objects)
    text_bytes = sum(text_sizes)
    vectors = survey.count_rows(text_bytes)
    new = round(vectors * share_new)
    if new > room:
        raise ConfigError(
            f"The load cannot fit into the index: the source has about {vectors:,} vectors, about {new:,} of them new "
            f"to the index, which has room for {room:,} of {limits.vectors_per_index:,}. Delete vectors that are no "
            "longer needed, or load fewer. If your account has another limit, pass "
            "limits=Limits(vectors_per_index=...)."
        )
    named_shards = split_source(objects, survey, text_sizes, shards)
    row_bytes = survey.row_bytes * survey.sent_share
    batches = sum(_count_batches(round(size / survey.row_bytes), row_bytes, limits) for _, size in named_shards)
    requests = batches + REQUESTS_PER_TASK * len(named_shards)
    bytes_to_send = round(vectors * row_bytes)
    # The budget of the first window is available at once.
    by_budget = max(0.0, requests / (quota * (1 - reserve)) - 1) * WINDOW_SECONDS / 60
    by_rate = bytes_to_send / 1e6 / mb_per_second / 60 if mb_per_second else 0.0
    return Plan(
        shards=tuple(shard.names for shard in named_shards),
        objects=len(objects),
        stored_bytes=sum(surveyed.size or 0 for surveyed in objects),
        text_bytes=text_bytes,
        largest_shard_bytes=max(shard.size for shard in named_shards),
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


def _count_batches(vectors: int, row_bytes: float, limits: Limits) -> int:
    """Estimate the number of requests for a number of rows."""
    per_request = min(limits.vectors_per_request, max(1, int(limits.bytes_per_request / row_bytes)))
    return max(1, math.ceil(vectors / per_request))
