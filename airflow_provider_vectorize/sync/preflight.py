"""The two checks before anything is sent: the audit of the index, and the look-ahead into the source."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.errors import SyncError
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.hashing import UNKNOWN, RowHasher
from airflow_provider_vectorize.sync import audit, forecast, plans
from airflow_provider_vectorize.sync.base import Base
from airflow_provider_vectorize.sync.decisions import audit_problem, look_ahead_problem, plan_id
from airflow_provider_vectorize.sync.folder import StateFolder, write_json
from airflow_provider_vectorize.sync.options import SyncOptions
from airflow_provider_vectorize.sync.source_sample import sample_source
from airflow_provider_vectorize.sync.table import NO_OBJECT
from airflow_provider_vectorize.visibility.monitor import IndexMonitor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditOutcome:
    """What the audit found.

    :param problem: How the index differs from the state, or empty.
    :param proved: Whether all earlier writes of this sync are visible.
    """

    problem: str = ""
    proved: bool = True


def run_audit(
    client: VectorizeClient,
    open_monitor: Callable[[], IndexMonitor],
    base: Base,
    hasher: RowHasher,
    run_id: str,
    *,
    dry_run: bool,
) -> AuditOutcome:
    """Compare a sample of the index with the state. Vectors that differ become unknown, so that they are sent again.

    :param run_id: ID of the run, which decides about the sample.
    :param dry_run: Whether no marker may be sent.
    """
    state = base.state
    if state is None or not base.known_hashes or not state.last_mutation:
        return AuditOutcome(proved=state is None)
    expected = audit.choose_ids(base.table, base.pending_ids, random.Random(run_id))  # noqa: S311 - not a secret
    with closing(open_monitor()) as monitor:
        if not audit.wait_until_visible(client, monitor, state.last_mutation, "none" if dry_run else "delete"):
            return AuditOutcome(proved=False)
    log.info("Comparing %s of the index with the state.", pluralize(len(expected), "random vector"))
    different = audit.different_ids(client, base.index.name, expected, hasher)
    for vector_id in different:
        base.table.hashes[base.table.position(vector_id)] = UNKNOWN
    problem = audit_problem(different, len(expected))
    if problem:
        log.error("%s. Those that are in the source are sent again, and nothing is deleted in this run.", problem)
    return AuditOutcome(problem)


def look_ahead(
    client: VectorizeClient,
    base: Base,
    source: LoadSource,
    skipped: np.ndarray,
    hasher: RowHasher,
    options: SyncOptions,
    folder: StateFolder,
    *,
    approved: bool,
) -> None:
    """Stop before anything is sent if a sample of the source says that most vectors changed.

    :param source: The source, with a reader of its own.
    :param approved: Whether a person approved a plan that changes most vectors.
    :raises SyncError: Most vectors changed. The error has the ID of a plan.
    """
    opened = [one for one, skip in zip(source.objects, skipped.tolist(), strict=False) if not skip]
    forecast.log_objects(opened, source.objects)
    if not opened:
        return
    compares_values = options.changed_by != "row" and base.known_hashes
    sample = sample_source(
        base.table,
        opened,
        source.reader,
        hasher,
        (lambda ids: client.get_by_ids(base.index.name, ids)) if compares_values else None,
    )
    table = base.table
    known = table.count(lambda chunk: table.hashes[chunk] != UNKNOWN)
    known_opened = table.count(lambda chunk: (table.hashes[chunk] != UNKNOWN) & ~skipped[table.objects[chunk]])
    unknown = table.count(lambda chunk: (table.hashes[chunk] == UNKNOWN) & (table.objects[chunk] != NO_OBJECT))
    forecast.log_estimate(sample, known, known_opened, unknown, client)
    problem = look_ahead_problem(sample, known_opened, known)
    if not problem or approved:
        return
    if options.dry_run:
        log.warning("A real run would stop before it sends anything, because %s.", problem)
        return
    plan = plan_id(base.generation, problem, plans.unspent_plans(folder, base.spent))
    write_json(folder, plans.changes_name(plan), {"plan": plan, "problem": problem})
    raise SyncError(
        f"Stopped before anything was sent, because {problem}. Another embedding model? Vectors of two models do not "
        f"match each other in one index. If the change is intended, run the sync once with approve={plan!r}, or load "
        "the source into a new index.",
        plan=plan,
    )
