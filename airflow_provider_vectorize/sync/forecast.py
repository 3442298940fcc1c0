"""Log what a run is about to do: which objects it opens, how much it will send, and what it will delete."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import WINDOW_SECONDS
from airflow_provider_vectorize.quantities import format_duration, format_size, pluralize, round_estimate
from airflow_provider_vectorize.sources.source_object import SourceObject
from airflow_provider_vectorize.sync.decisions import Deletions, Sample, estimate_changed

log = logging.getLogger(__name__)


def log_objects(opened: Sequence[SourceObject], objects: Sequence[SourceObject]) -> None:
    """Log how many objects are opened, and why the others are not."""
    size = f"({format_size(sum(source_object.size or 0 for source_object in opened))} as stored)"
    count, total = len(opened), len(objects)
    if total == 1:
        which = f"Opening the object {size}" if count else "Opening nothing: the object is the same as in the last run"
    elif not count:
        which = f"Opening nothing: all {total:,} objects are the same as in the last run"
    elif count == total:
        which = f"Opening all {total:,} objects {size}"
    else:
        which = f"Opening {count:,} of {total:,} objects {size}. The others are the same as in the last run"
    log.info("%s.", which)


def log_estimate(sample: Sample, known: int, known_opened: int, unknown: int, client: VectorizeClient) -> None:
    """Log how many vectors a sample of the source lets expect.

    :param known: Number of known IDs whose content in the index is known.
    :param known_opened: How many of these belong to objects that are opened.
    :param unknown: Number of other known IDs of the source, whose content in the index is not known.
    :param client: Knows the limits and the request budget.
    """
    if not known:
        rows = round_estimate(sample.total_rows)
        about = f": about {pluralize(rows, 'row')} in about {_requests_for_rows(rows, client)}" if rows else ""
        log.info("Sending every row%s.", about)
        return
    again = round_estimate(estimate_changed(sample, known_opened) + unknown)
    log.info(
        "Sampled %s: %d of %s changed. Expecting to send %s.",
        pluralize(sample.rows, "row"),
        sample.changed,
        pluralize(sample.known, "known vector"),
        f"about {again:,} of {known + unknown:,} known vectors again in about {_requests_for_rows(again, client)}, and "
        "all new ones"
        if again
        else "only new vectors",
    )


def _requests_for_rows(rows: int, client: VectorizeClient) -> str:
    return requests_and_time(rows, client.limits.vectors_per_request, client)


def log_deletions(count: int, decision: Deletions, client: VectorizeClient, *, dry_run: bool) -> None:
    """Log what will be deleted, and what is withheld, before the first deletion."""
    if count:
        log.info(
            "%s %s that left the source, in %s.",
            "A real run would delete" if dry_run else "Deleting",
            pluralize(count, "vector"),
            requests_and_time(count, client.limits.ids_per_delete, client),
        )
    if decision.withheld:
        log.warning(
            "%s %s: %s.",
            "A real run would fail after it has withheld" if dry_run else "Withholding",
            pluralize(decision.withheld, "deletion"),
            decision.reason,
        )


def requests_and_time(count: int, per_request: int, client: VectorizeClient) -> str:
    """Return the number of requests for some rows, and the minutes that the request budget makes them take."""
    requests = -(-count // per_request)
    per_window = max(1, int(client.pacer.quota * (1 - client.pacer.reserve)))
    text = pluralize(requests, "request")
    if requests <= per_window:
        return text
    duration = format_duration(requests / per_window * WINDOW_SECONDS)
    return f"{text} (about {duration}: the budget is {per_window:,} requests in {WINDOW_SECONDS // 60} minutes)"
