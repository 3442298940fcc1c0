"""Every decision of a switch-over, in pure functions: what may be published, replaced and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_provider_vectorize.api.models import Index
from airflow_provider_vectorize.errors import SwitchOverError
from airflow_provider_vectorize.switch_over.mark import read_mark
from airflow_provider_vectorize.switch_over.pointer import Pointer


def choose_idle_slot(pointer: Pointer | None, slots: Sequence[str]) -> str:
    """Return the slot for the next rebuild: not the live one and, if there is another, not the previous one.

    :param slots: At least two names of indexes.
    """
    live, previous = (pointer.index, pointer.previous) if pointer else (None, None)
    idle = [slot for slot in slots if slot != live]
    return next((slot for slot in idle if slot != previous), idle[0])


def check_publication(
    uri: str, pointer: Pointer | None, index: Index, expect: str | None, created_on: datetime | None
) -> None:
    """Check whether an index may be published.

    :param uri: URI of the pointer.
    :param pointer: The pointer now.
    :param index: The index to publish.
    :param expect: Index that has to be live now, or ``None`` if nothing may be published yet.
    :param created_on: When the index was created, if the caller knows it.
    :raises SwitchOverError: The pointer is not as expected, or the index may be incomplete.
    """
    check_incarnation(uri, index, created_on)
    if pointer and pointer.index == index.name:
        return
    live = pointer.index if pointer else None
    if live != expect:
        raise _refusal(
            uri,
            f"The pointer {uri} names {_named(live)}, but {_named(expect)} was expected, so index "
            f'"{index.name}" was not published. Another run or a person has moved the pointer. Check which index '
            "readers should use, then run the DAG again.",
        )
    if pointer and created_on is None and index.name != pointer.previous:
        raise _refusal(
            uri,
            f'Index "{index.name}" was not published, because the pointer {uri} does not name it as the previous one, '
            "so it may be incomplete. Pass the created_on that VectorizeCreateIndexOperator returned for the index "
            "that was loaded and checked.",
        )


def check_incarnation(uri: str, index: Index, created_on: datetime | None) -> None:
    """Check that an index was not created again since it was loaded and checked.

    :raises SwitchOverError: It was.
    """
    if created_on is not None and index.created_on != created_on:
        raise _refusal(
            uri,
            f'Index "{index.name}" was created at {_time(index.created_on)}, not at {_time(created_on)}, so another '
            f"run has replaced what was loaded and checked. The pointer {uri} must not name it. Run the DAG again, "
            "with max_active_runs=1.",
        )


def clears_previous(
    uri: str, pointer: Pointer | None, index: Index, *, has_vectors: bool, min_age: timedelta, now: datetime
) -> bool:
    """Check whether a slot may be deleted for a rebuild, and return whether ``previous`` has to be cleared first.

    :param uri: URI of the pointer.
    :param pointer: The pointer now.
    :param index: The index in the slot.
    :param has_vectors: Whether anything was ever written to it, as far as the index shows.
    :param min_age: How long the previous index is kept after the publication of the live one.
    :raises SwitchOverError: The slot must not be deleted.
    """
    mark = read_mark(index.description)
    if pointer and pointer.index == index.name:
        raise _refusal(uri, f'Index "{index.name}" was not replaced, because it is live according to {uri}.')
    if mark is None or mark.pointer != uri:
        owner = f"belongs to the pointer {mark.pointer}" if mark else "has no mark of a pointer"
        raise _refusal(
            uri,
            f'Index "{index.name}" was not replaced, because it {owner}. Only indexes that were created for the '
            f"pointer {uri} are replaced. Use another name, or delete the index yourself.",
        )
    if pointer is None and has_vectors:
        raise _refusal(
            uri,
            f'Index "{index.name}" was not replaced, because the pointer {uri} does not exist, so it may be live. If '
            "no reader uses it, delete it yourself. Otherwise publish the index that readers use.",
        )
    if pointer is None or pointer.previous != index.name:
        return False
    if _age(pointer.published_at, now) < min_age:
        raise _refusal(
            uri,
            f'Index "{index.name}" was not replaced, because it was live until {_time(pointer.published_at)}, less '
            f"than {min_age} ago (min_age), so readers may still use it and a rollback may need it. Run the DAG later.",
        )
    return True


def prunable(
    uri: str,
    pointer: Pointer | None,
    indexes: Sequence[Index],
    *,
    prefix: str,
    keep: int,
    min_age: timedelta,
    now: datetime,
) -> list[Index]:
    """Return the indexes that may be deleted, oldest first.

    These are the indexes that start with the prefix and carry the mark of this pointer, except the live one, the
    previous one, the newest ``keep`` of them, and those that are younger than ``min_age`` or of unknown age, because a
    rebuild may be loading them.

    :raises SwitchOverError: The pointer does not exist, so any of the indexes may be live.
    """
    if pointer is None:
        raise _refusal(
            uri, f"No index was deleted, because the pointer {uri} does not exist, so any index may be live."
        )
    ours = [index for index in indexes if index.name.startswith(prefix) and _is_marked(index, uri)]
    dated = sorted(
        ((index.created_on, index.name, index) for index in ours if index.created_on), key=lambda entry: entry[:2]
    )
    return [
        index
        for created_on, name, index in dated[: max(0, len(dated) - keep)]
        if name not in (pointer.index, pointer.previous) and _age(created_on, now) >= min_age
    ]


def _age(moment: datetime, now: datetime) -> timedelta:
    """Return the time since a moment. The clock of the server has only seconds, so the moment can be later than now."""
    return max(now - moment, timedelta(0))


def _is_marked(index: Index, uri: str) -> bool:
    mark = read_mark(index.description)
    return mark is not None and mark.pointer == uri


def _refusal(uri: str, message: str) -> SwitchOverError:
    return SwitchOverError(message, pointer=uri)


def _named(index_name: str | None) -> str:
    return f'index "{index_name}"' if index_name else "no index"


def _time(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds") if moment else "an unknown time"
