"""Save how far a load has come, so that the next attempt can continue from there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.ranges import ProcessedRanges
from airflow_provider_vectorize.sources.lines import Position

log = logging.getLogger(__name__)

#: Version of the JSON that :meth:`Checkpoint.to_dict` returns.
VERSION = 2


class CheckpointStore(Protocol):
    """A place for one checkpoint that survives the attempts of a task. Values are plain JSON."""

    def load(self) -> Any: ...

    def save(self, value: dict[str, Any]) -> None: ...

    def clear(self) -> None: ...


@dataclass(frozen=True)
class Checkpoint:
    """The state of a load between two acknowledgements.

    :param identity: What defines the load, by name. If a value differs at the next attempt, the load starts over.
    :param processed: The ranges of the source that are processed.
    :param receipt: What was acknowledged so far.
    :param dead_letter_bytes: The size of the dead-letter file at this checkpoint.
    :param dead_letter_digest: The digest of its content, see :attr:`~.dead_letters.DeadLetters.digest`.
    :param settled: Whether no abandoned request of the load can still be carried out. A killed process leaves it
        unset.
    """

    identity: Mapping[str, str]
    processed: ProcessedRanges
    receipt: Receipt
    dead_letter_bytes: int = 0
    dead_letter_digest: str = ""
    settled: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the checkpoint as plain JSON."""
        return {
            "version": VERSION,
            "identity": dict(self.identity),
            "done": [[list(start), list(end)] for start, end in self.processed.ranges],
            "receipt": self.receipt.to_dict(),
            "dead_letter_bytes": self.dead_letter_bytes,
            "dead_letter_digest": self.dead_letter_digest,
            "settled": self.settled,
        }

    @classmethod
    def from_dict(cls, plain: Any) -> Checkpoint | None:
        """Read :meth:`to_dict` back. Return ``None`` for a value that another version wrote.

        ``settled`` is not read, because it describes the attempt that wrote it.
        """
        if not isinstance(plain, Mapping) or plain.get("version") != VERSION:
            return None
        try:
            processed = ProcessedRanges(tuple((Position(*start), Position(*end)) for start, end in plain["done"]))
            receipt = Receipt.from_dict(plain["receipt"])
            dead_letters = int(plain["dead_letter_bytes"]), str(plain["dead_letter_digest"])
            return cls(dict(plain["identity"]), processed, receipt, *dead_letters)
        except (KeyError, TypeError, ValueError, ConfigError):
            return None


class CheckpointWriter:
    """Write checkpoints to an optional store. A failing store can slow down a retry but never fails the load.

    :param store: The store, or ``None`` if checkpoints are not saved.
    """

    def __init__(self, store: CheckpointStore | None) -> None:
        self._store = store
        self._warned = False

    @property
    def durable(self) -> bool:
        """Check whether a retry can continue from a checkpoint."""
        return self._store is not None

    def load(self) -> Any:
        """Return the value that the last attempt saved, or ``None``."""
        try:
            return self._store.load() if self._store else None
        except Exception as error:  # noqa: BLE001 - starting over is safe, whatever error the store raises
            log.warning("Could not read the checkpoint. The load starts over, which is safe. %s", _describe(error))
            return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint. Only the first failure is logged."""
        try:
            if self._store:
                self._store.save(checkpoint.to_dict())
        except Exception as error:  # noqa: BLE001 - the vectors are written, whatever error the store raises
            if not self._warned:
                log.warning(
                    "Could not save a checkpoint. A retry may send some batches again, which changes nothing. %s",
                    _describe(error),
                )
            self._warned = True

    def clear(self) -> None:
        """Delete the saved checkpoint."""
        try:
            if self._store:
                self._store.clear()
        except Exception as error:  # noqa: BLE001 - the load has succeeded, whatever error the store raises
            log.warning("Could not delete the checkpoint. %s", _describe(error))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def may_have_left_requests(stored: Any, *, earlier_attempt: bool) -> bool:
    """Check whether an earlier process may have left requests that Vectorize still carries out.

    :param stored: The value that it saved, or ``None``.
    :param earlier_attempt: Whether an earlier process may exist. It decides if nothing is stored.
    """
    if stored is None:
        return earlier_attempt
    return not (isinstance(stored, Mapping) and stored.get("settled") is True)


def match_checkpoint(stored: Any, identity: Mapping[str, str]) -> tuple[Checkpoint | None, str]:
    """Decide whether a load can continue from a stored checkpoint.

    :param stored: The value that the last attempt saved, or ``None``.
    :param identity: What defines the load, by name.
    :return: The checkpoint, or ``None`` and the log message for starting over. The message is empty if the last
        attempt left nothing to continue from.
    """
    if stored is None:
        return None, ""
    checkpoint = Checkpoint.from_dict(stored)
    if checkpoint is None:
        return None, "Starting over: another version of the provider wrote the checkpoint."
    if not checkpoint.processed.ranges:
        return None, ""
    old, names = checkpoint.identity, sorted({*checkpoint.identity, *identity})
    if changed := [name for name in names if old.get(name) != identity.get(name)]:
        return None, f"Starting over: the checkpoint belongs to another load ({', '.join(changed)} changed)."
    return checkpoint, ""
