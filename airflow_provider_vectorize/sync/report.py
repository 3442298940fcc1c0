"""Report a run: its log messages, its result, and the error for the person on call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.markers import PREFIX
from airflow_provider_vectorize.api.models import Mutation
from airflow_provider_vectorize.errors import SourceError, SyncError
from airflow_provider_vectorize.load.load_source import LoadSource
from airflow_provider_vectorize.load.receipt import MUTATION_IDS, Sample
from airflow_provider_vectorize.load.rejections import describe_rejected
from airflow_provider_vectorize.quantities import pluralize
from airflow_provider_vectorize.rows.hashing import UNKNOWN
from airflow_provider_vectorize.sync import plans
from airflow_provider_vectorize.sync.base import Base
from airflow_provider_vectorize.sync.comparison import Comparison, Findings
from airflow_provider_vectorize.sync.decisions import Deletions
from airflow_provider_vectorize.sync.deletes import DeletionReceipt, vanished
from airflow_provider_vectorize.sync.folder import StateFolder
from airflow_provider_vectorize.sync.result import SyncResult
from airflow_provider_vectorize.sync.table import ADDED, DELETED, SEEN, SENT, IdTable

log = logging.getLogger(__name__)


# ---------------------------------------------------------------- what keeps vectors from being deleted


def obstacles(base: Base, comparison: Comparison, audit_problem: str) -> list[str]:
    """Return the reasons for which nothing can be deleted in this run, and which no approval overrides."""
    findings = comparison.findings
    reasons = []
    if base.basis != "state":
        reasons.append("this is the first run on this index, so it is not known what the index holds")
    if findings.unfinished:
        names = ", ".join(comparison.uri(number) for number in sorted(findings.unfinished)[:3])
        count = pluralize(len(findings.unfinished), "object")
        reasons.append(f"{count} could not be read to the end ({names})")
    if findings.unreadable_rows:
        count = pluralize(findings.unreadable_rows, "row")
        reasons.append(f"the ID of {count} cannot be read ({', '.join(findings.unreadable)})")
    if not has_rows(comparison):
        reasons.append("the source has no good rows")
    if audit_problem:
        reasons.append("the index is not what the state says")
    return reasons


def has_rows(comparison: Comparison) -> bool:
    """Return whether the source has at least one good row, in an object that was read or in one that was skipped.

    A skipped object may have no rows: Spark writes empty parts.
    """
    table, skipped = comparison.table, comparison.skipped
    in_skipped = table.where(lambda chunk: skipped[table.objects[chunk]])
    return comparison.findings.good_rows > 0 or next(in_skipped, None) is not None


# ---------------------------------------------------------------- the result


def forget_refused(table: IdTable, findings: Findings, refused: Collection[str]) -> None:
    """Correct the table for rows that Vectorize refused: their vectors are in the index as they were before.

    An ID that was never written is not entered, because it may belong to another writer. The next run opens the object
    of the row even if it has not changed, so that the row is sent again.
    """
    for vector_id in refused:
        position = table.position(vector_id)
        findings.unclean.add(int(table.objects[position]))
        if int(table.flags[position]) & ADDED and vector_id not in findings.sent_again:
            table.flags[position] = DELETED
        else:
            table.hashes[position] = UNKNOWN


def with_mutations(receipt: SyncResult, mutations: Sequence[Mutation], deleted: Sequence[Sample]) -> SyncResult:
    """Return a receipt that also stands for mutations that were sent after all others had been acknowledged."""
    if not mutations:
        return receipt
    last = mutations[-1]
    ids = (*receipt.mutation_ids, *(mutation.mutation_id for mutation in mutations))[-MUTATION_IDS:]
    return replace(
        receipt,
        operation=receipt.operation if receipt.vectors else "delete",
        mutation_id=last.mutation_id,
        mutation_ids=ids,
        accepted_at=last["accepted_at"] or receipt.accepted_at,
        samples=(*receipt.samples, *deleted),
        sealed=True,
    )


def result_of(
    receipt: SyncResult,
    base: Base,
    comparison: Comparison,
    deletions: DeletionReceipt,
    decision: Deletions,
    plan: str | None,
) -> SyncResult:
    """Return the result of a run: its receipt with the counts of the table."""
    table, findings, skipped = base.table, comparison.findings, comparison.skipped
    present: Callable[[slice], np.ndarray] = lambda chunk: (  # noqa: E731
        (table.flags[chunk] & SEEN != 0) | (skipped[table.objects[chunk]] & (table.flags[chunk] & DELETED == 0))
    )
    sent = SENT | SEEN
    return replace(
        receipt,
        batches=receipt.batches + deletions.requests,
        added=table.count(table.has(sent | ADDED)),
        changed=table.count(lambda chunk: table.flags[chunk] & (sent | ADDED) == sent),
        unchanged=table.count(lambda chunk: present(chunk) & (table.flags[chunk] & SENT == 0)),
        vanished=table.count(vanished(table, skipped)) + (0 if receipt.dry_run else deletions.ids),
        deleted=deletions.ids,
        withheld=decision.withheld,
        unknown=table.count(lambda chunk: (table.hashes[chunk] == UNKNOWN) & (table.flags[chunk] & DELETED == 0)),
        duplicates=findings.duplicates,
        objects_skipped=int(np.count_nonzero(skipped)),
        rows_read=sum(findings.rows_read.values()),
        generation=base.generation.number if base.generation else 0,
        plan=plan,
    )


def log_end(result: SyncResult, findings: Findings, seconds: float) -> None:
    """Log what the run did, and what a person should correct in the source.

    :param seconds: Duration of the run.
    """
    log.info("%s", result.summary(seconds))
    if kept := result.vanished - result.deleted - result.withheld:
        log.info("Kept %s that left the source, because delete_vanished is off.", pluralize(kept, "vector"))
    if result.rejected:
        log.warning("%s", describe_rejected(result))
    if findings.flapping:
        log.warning(
            "Some IDs occur more than once with different content, so they are sent in every run, and the last row "
            "wins: %s. Remove the duplicates from the source.",
            ", ".join(findings.flapping),
        )


def report_foreign(client: VectorizeClient, folder: StateFolder, table: IdTable, result: SyncResult) -> SyncResult:
    """Write down the IDs in the index that the sync does not know. They may belong to others, so it keeps them."""
    name = f"foreign-{result.generation}.ids.gz"

    def foreign() -> Iterable[str]:
        for vector_id in client.list_vectors(result.index_name):
            if not vector_id.startswith(PREFIX) and table.position(vector_id) < 0:
                yield vector_id

    count = sum(1 for _ in foreign()) if result.dry_run else plans.write_ids(folder, name, foreign())
    message = f"The index has {pluralize(count, 'vector')} that this sync does not know."
    if count:
        message += " They may belong to other syncs or writers."
    if count and not result.dry_run:
        message += (
            f" Their IDs are in {folder.uri}/{name}. To delete them, pass this file to VectorizeDeleteVectorsOperator "
            "with source_lines_are='vectors'."
        )
    log.info("%s", message)
    return replace(result, foreign=count)


def check_outcome(
    result: SyncResult,
    folder: StateFolder,
    comparison: Comparison,
    decision: Deletions,
    examples: Sequence[str],
    audit_problem: str,
    source: LoadSource,
) -> None:
    """Raise if somebody has to look at the run, although it committed what it wrote.

    :param examples: A few IDs whose deletion was withheld.
    :raises SyncError: Deletions were withheld, or the index is not what the state says.
    :raises SourceError: An object could not be read to its end, or the source has no rows.
    """
    findings = comparison.findings
    problems: list[str] = []
    if audit_problem:
        problems.append(
            f"{audit_problem}. Another writer, a restored backup? Those of them that are in the source were sent "
            "again. Run the sync once with reconcile=True to send everything again"
        )
    if decision.withheld:
        problems.append(f"Withheld {pluralize(decision.withheld, 'deletion')}, because {decision.reason}")
        problems.append(f"Some of their IDs: {', '.join(examples)}")
        if not result.plan:
            problems.append(
                "They cannot be approved now. The next run without this problem deletes them, as far as max_deletes or "
                "an approval allows"
            )
    if result.plan:
        problems.append(
            f"All of them are in {folder.uri}/{plans.deletions_name(result.plan)}. If they should be deleted, run the "
            f"sync once with approve={result.plan!r}"
        )
    committed = f"Everything else was written and committed: {result.describe()}."
    if problems:
        message = f"{'. '.join(problems)}. {committed}"
        raise SyncError(message, plan=result.plan or "", result=result.to_dict(), permanent=_is_permanent(findings))
    if findings.unfinished:
        error = findings.unfinished[min(findings.unfinished)]
        raise SourceError(f"{error} {committed}", uri=error.uri, permanent=error.permanent)
    if not has_rows(comparison):
        raise SourceError(f"The source is empty: {source} has no good rows. {committed}", uri=source.uris[0])


def _is_permanent(findings: Findings) -> bool:
    """Return whether a retry cannot help, because no object failed in a way that may pass."""
    return all(error.permanent for error in findings.unfinished.values())
