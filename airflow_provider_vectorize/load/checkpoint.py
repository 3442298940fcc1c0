"""How far a load came, so that the next attempt can go on there."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.parts import object_offset

log = logging.getLogger(__name__)

VERSION = 2


class CheckpointStore(Protocol):
    """Where a checkpoint is kept between the attempts of a task. JSON-plain values only."""

    def load(self) -> Any: ...

    def save(self, value: dict[str, Any]) -> None: ...

    def clear(self) -> None: ...


@dataclass(frozen=True)
class Checkpoint:
    """A load between two acknowledgements.

    :param identity: what the load is: if any of it differs at the next attempt, the load starts over.
    :param done: what is dealt with.
    :param receipt: what was acknowledged so far.
    :param dead_letter_bytes: length of the dead-letter file that belongs to it.
    :param dead_letter_digest: identifies what the file holds.
    :param settled: Whether no request of the load can be carried out any more. A process that dies leaves it unset.
    """

    identity: Mapping[str, str]
    done: ProcessedRanges
    receipt: Receipt
    dead_letter_bytes: int = 0
    dead_letter_digest: str = ""
    settled: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-plain."""
        return {
            "version": VERSION,
            "identity": dict(self.identity),
            "done": [[list(start), list(end)] for start, end in self.done.ranges],
            "receipt": self.receipt.to_dict(),
            "dead_letter_bytes": self.dead_letter_bytes,
            "dead_letter_digest": self.dead_letter_digest,
            "settled": self.settled,
        }

    @classmethod
    def from_dict(cls, plain: Any) -> Checkpoint | None:
        """The other way round; ``None`` for what another version wrote."""
        if not isinstance(plain, Mapping) or plain.get("version") != VERSION:
            return None
        try:
            done = ProcessedRanges(tuple((Position(*start), Position(*end)) for start, end in plain["done"]))
            receipt = Receipt.from_dict(plain["receipt"])
            letters = int(plain["dead_letter_bytes"]), str(plain["dead_letter_digest"])
            return cls(dict(plain["identity"]), done, receipt, *letters)
        except (KeyError, TypeError, ValueError, ConfigError):
            return None


class CheckpointWriter:
    """Keeps checkpoints in a store, or nowhere. A store that fails costs a retry some time, and never the load.

    :param store: or ``None``.
    """

    def __init__(self, store: CheckpointStore | None) -> None:
        self._store = store
        self._complained = False

    @property
    def durable(self) -> bool:
        """Whether a retry can go on."""
        return self._store is not None

    def load(self) -> Any:
        """What the last attempt kept, or ``None``."""
        try:
            return self._store.load() if self._store else None
        except Exception as error:  # noqa: BLE001 - whatever a store raises, starting over is safe
            log.warning("The checkpoint cannot be read: starting over, which is safe. %s", _told(error))
            return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        try:
            if self._store:
                self._store.save(checkpoint.to_dict())
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the vectors are where they belong
            if not self._complained:
                log.warning(
                    "A checkpoint cannot be kept: a retry would send some batches again, which changes nothing. %s",
                    _told(error),
                )
            self._complained = True

    def clear(self) -> None:
        """Forget it."""
        try:
            if self._store:
                self._store.clear()
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("The checkpoint cannot be cleared. %s", _told(error))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def may_have_left_requests(kept: Any, *, earlier_attempt: bool) -> bool:
    """Check whether a process that is gone may have left requests that are still carried out.

    :param kept: The checkpoint that it kept, or ``None``.
    :param earlier_attempt: Whether there was such a process, where there is no checkpoint to tell.
    """
    if kept is None:
        return earlier_attempt
    return not (isinstance(kept, Mapping) and kept.get("settled") is True)


def resume(kept: Any, identity: Mapping[str, str], uris: Sequence[str]) -> tuple[Checkpoint | None, str]:
    """The checkpoint to go on from, or ``None``; and what to say of it.

    :param uris: the source's objects.
    """
    if kept is None:
        return None, ""
    checkpoint = Checkpoint.from_dict(kept)
    if checkpoint is None:
        return None, "The checkpoint is of another version of the provider: starting over."
    if not checkpoint.done.ranges:
        return None, ""
    changed = _changed(checkpoint.identity, identity)
    if changed:
        return None, f"The checkpoint is of another load ({', '.join(changed)} changed): starting over."
    receipt, start = checkpoint.receipt, checkpoint.done.resume_position
    further = ", and over what was acknowledged after that" if checkpoint.done.has_gaps else ""
    return checkpoint, (
        f"Going on where the last attempt was, at line {start.line:,} of {uris[start.object]} "
        f"(byte {object_offset(uris[start.object], start.offset):,})"
        f"{further}: {receipt.vectors:,} vectors in {receipt.batches} batches are acknowledged already, the last as "
        f"mutation {receipt.mutation_id}."
    )


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[str]:
    return [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
