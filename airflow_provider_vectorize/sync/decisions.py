"""The decisions of a sync as pure functions: what to skip, to trust, to delete and to withhold. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.sync.log import Record
from airflow_provider_vectorize.sync.state import Generation, State

#: So many deletions never need an approval.
FREE_DELETES = 20
#: The sync stops before it sends anything if more than this share of the known IDs changed.
MAX_CHANGED_SHARE = 0.5
#: So many changed vectors never need an approval, and so many known IDs the sample must have to say anything.
FREE_CHANGES = 20
#: Vectors whose cosine similarity is less than this come from different embedding models.
SAME_MODEL_COSINE = 0.98

Basis = Literal["first", "state", "baseline"]


# ---------------------------------------------------------------- identity


@dataclass(frozen=True)
class Identity:
    """What a state has to belong to.

    :param account: Account of the index.
    :param index_name: Name of the index.
    :param created_on: Creation time of the index.
    :param parameters: Fingerprint of the parameters that shape rows.
    :param changed_by: What the hashes cover.
    :param hash_version: Version of the definition of the hashes.
    """

    account: str
    index_name: str
    created_on: str
    parameters: str
    changed_by: str
    hash_version: int


def choose_basis(state: State | None, identity: Identity, index_has_vectors: bool, folder_uri: str) -> Basis:
    """Return what a run may assume about the index.

    ``state``: the index is the one that the state describes. ``baseline``: the known IDs may be in the index, but
    nothing is known about their content, so that nothing is deleted in this run. ``first``: the index is empty, and
    there is no state.

    :raises ConfigError: The state belongs to another index.
    """
    if state is None:
        return "baseline" if index_has_vectors else "first"
    if (state.account, state.index_name) != (identity.account, identity.index_name):
        raise ConfigError(
            f'{folder_uri} is the state of a sync into index "{state.index_name}" of account {state.account}, but this '
            f'sync writes to index "{identity.index_name}" of account {identity.account}. Nothing was sent or deleted. '
            "Give each sync its own state folder."
        )
    return "state" if state.created_on == identity.created_on else "baseline"


def knows_hashes(state: State, identity: Identity, basis: Basis, *, reconcile: bool) -> bool:
    """Return whether the hashes of the state describe what the index holds."""
    same_hashes = (state.changed_by, state.hash_version) == (identity.changed_by, identity.hash_version)
    return basis == "state" and same_hashes and not reconcile


# ---------------------------------------------------------------- pending logs


def is_trusted(
    records: Mapping[str, Sequence[Record]], generation: Generation | None, created_on: str, parameters: str
) -> bool:
    """Return whether the acknowledged records of pending logs describe the index.

    They do only if a single run wrote them, on the current generation, into this incarnation of the index, and with
    the same parameters. Nothing orders the requests of several runs.
    """
    return len(records) == 1 and all(
        (record.generation, record.created_on, record.parameters) == (generation, created_on, parameters)
        for run_records in records.values()
        for record in run_records
    )


def acknowledged_numbers(records: Sequence[Record]) -> set[int]:
    """Return the numbers of the records of a run that were acknowledged."""
    return {number for record in records for first, last in record.acknowledged for number in range(first, last + 1)}


# ---------------------------------------------------------------- objects


def reusable_versions(
    state: State | None, uris: Sequence[str], *, same_parameters: bool, basis: Basis, reconcile: bool
) -> list[str | None]:
    """Return for each object of the source the version that the state has seen completely, or ``None``."""
    if state is None or basis != "state" or not same_parameters or reconcile:
        return [None] * len(uris)
    versions = {known.uri: known.version for known in state.objects}
    return [versions.get(uri) for uri in uris]


def may_skip(stored_version: str | None, version: str) -> bool:
    """Return whether an object need not be opened. A version without a revision does not tell two contents apart."""
    return stored_version is not None and stored_version == version and not version.endswith(":")


# ---------------------------------------------------------------- brakes


def parse_max_deletes(name: str, value: Any) -> float | int:
    """Return the brake: a share (a number from 0 to 1 with a decimal point) or a number of IDs.

    :raises ConfigError: The value is neither.
    """
    try:
        if isinstance(value, str):
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        if isinstance(value, bool) or value < 0 or (isinstance(value, float) and not value <= 1):
            raise ValueError
        return float(value) if isinstance(value, float) else int(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name} must be a share of the known IDs from 0.0 to 1.0, or a whole number of IDs, not {value!r}."
        ) from None


def exceeds_brake(count: int, known: int, max_deletes: float | int) -> bool:
    """Return whether so many deletions need an approval."""
    if count <= FREE_DELETES:
        return False
    # A product such as 0.29 * 100 can be less than the number that it stands for, so exactly 29 % would be too many.
    return count / known > max_deletes if isinstance(max_deletes, float) else count > max_deletes


@dataclass(frozen=True)
class Deletions:
    """What happens to the IDs that have left the source.

    :param delete_approved: Whether those are deleted that were approved.
    :param delete_others: Whether all others are deleted.
    :param withheld: Number of IDs that should be deleted and are not.
    :param reason: Why they are not, or empty.
    :param can_be_approved: Whether an approval releases them.
    """

    delete_approved: bool = False
    delete_others: bool = False
    withheld: int = 0
    reason: str = ""
    can_be_approved: bool = False


def choose_deletions(
    *, wanted: bool, approved: int, others: int, known: int, max_deletes: float | int, obstacles: Sequence[str]
) -> Deletions:
    """Decide which IDs are deleted that have left the source.

    :param wanted: Whether the sync deletes at all.
    :param approved: Number of vanished IDs that the approved plan names.
    :param others: Number of all other vanished IDs.
    :param known: Number of IDs in the state.
    :param max_deletes: The brake, see :func:`parse_max_deletes`.
    :param obstacles: Reasons for which nothing can be deleted tonight, and which no approval overrides.
    """
    if not wanted or not approved + others:
        return Deletions()
    if obstacles:
        return Deletions(withheld=approved + others, reason="; ".join(obstacles))
    if exceeds_brake(others, known, max_deletes):
        limit = (
            f"{max_deletes:.1%} of {known:,} known vectors" if isinstance(max_deletes, float) else f"{max_deletes:,}"
        )
        return Deletions(
            delete_approved=True,
            withheld=others,
            reason=f"max_deletes allows fewer ({limit})",
            can_be_approved=True,
        )
    return Deletions(delete_approved=True, delete_others=True)


def spends_plan(kind: str, decision: Deletions, *, wanted: bool) -> bool:
    """Return whether a run that approves a plan uses it up. A run that could delete nothing leaves it for the next one.

    :param kind: ``deletions``, ``changes``, or empty if no plan is approved.
    :param wanted: Whether the sync deletes at all.
    """
    carries_out = wanted and (decision.delete_approved or not decision.withheld)
    return kind == "changes" or (kind == "deletions" and carries_out)


def plan_id(generation: Generation | None, content: str, plans: Iterable[str]) -> str:
    """Return the ID of a plan: the number of the generation on which it came up first, and a digest of its content.

    The same plan keeps its ID, so that the ID in yesterday's alert approves it. A plan that comes up again after it was
    carried out has another ID.

    :param generation: The generation on which the run is based.
    :param content: What the plan does.
    :param plans: IDs of the plans that were neither carried out nor forgotten.
    """
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    known = next((plan for plan in plans if plan.endswith(f"-{digest}")), None)
    return known or f"{generation.number if generation else 0}-{digest}"


# ---------------------------------------------------------------- look-ahead and audit


@dataclass(frozen=True)
class Sample:
    """What a few rows of the source say before anything is sent.

    :param known: Number of sampled rows whose vector is known with its hash.
    :param changed: How many of these have another hash.
    :param changed_share: Estimated share of all known vectors that have another hash.
    :param cosines: Cosine similarity of sampled vectors to those in the index, if they were compared.
    :param rows: Number of sampled rows.
    :param total_rows: Estimated number of rows of the objects, 0 if it cannot be estimated.
    """

    known: int
    changed: int
    changed_share: float
    cosines: Sequence[float] = ()
    rows: int = 0
    total_rows: int = 0


def estimate_changed(sample: Sample, opened: int) -> int:
    """Estimate how many known IDs changed.

    :param opened: Number of known IDs whose object is opened.
    """
    return round(opened * sample.changed_share)


def look_ahead_problem(sample: Sample, opened: int, known: int) -> str:
    """Return why the sync should stop before it sends anything, or an empty text.

    :param opened: Number of known IDs whose object is opened.
    :param known: Number of all known IDs.
    """
    changed = estimate_changed(sample, opened)
    if sample.known >= FREE_CHANGES and changed > max(MAX_CHANGED_SHARE * known, FREE_CHANGES):
        return f"about {changed:,} of {known:,} known vectors changed ({changed / known:.0%})"
    different = sum(cosine < SAME_MODEL_COSINE for cosine in sample.cosines)
    if len(sample.cosines) >= FREE_CHANGES / 2 and different > MAX_CHANGED_SHARE * len(sample.cosines):
        return (
            f"{different} of {len(sample.cosines)} sampled vectors are not similar to those in the index, although the "
            "key by which rows are compared is the same"
        )
    return ""


def audit_problem(different: Collection[str], checked: int) -> str:
    """Return what an audit found, or an empty text."""
    if not different:
        return ""
    examples = ", ".join(sorted(different)[:5])
    return (
        f"The index is not what the state says: {len(different)} of {checked} sampled vectors differ or are missing "
        f"(for instance {examples})"
    )
