"""How far a load came, so that the next attempt can go on there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_provider_vectorize.load.lines import Mark
from airflow_provider_vectorize.load.receipt import Receipt

VERSION = 1


class CheckpointStore(Protocol):
    """Where a checkpoint is kept between the attempts of a task. JSON-plain values only."""

    def load(self) -> Any: ...

    def save(self, value: dict[str, Any]) -> None: ...

    def clear(self) -> None: ...


@dataclass(frozen=True)
class Done:
    """The parts of the source that are dealt with, as disjoint ranges in order.

    With n requests in flight there are at most n gaps, so this stays small.
    """

    ranges: tuple[tuple[Mark, Mark], ...] = ()

    def add(self, start: Mark, end: Mark) -> Done:
        """The same, with one more part."""
        merged: list[tuple[Mark, Mark]] = []
        for part in sorted((*self.ranges, (start, end))):
            if merged and part[0] <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], part[1]))
            else:
                merged.append(part)
        return Done(tuple(merged))

    @property
    def start(self) -> Mark:
        """Where to go on: everything before is dealt with."""
        first = self.ranges[0] if self.ranges else None
        return first[1] if first and first[0] == Mark() else Mark()

    @property
    def gaps(self) -> bool:
        """Whether something after :attr:`start` is dealt with, too."""
        return any(end > self.start for _, end in self.ranges)

    def covers(self, mark: Mark) -> bool:
        """Whether the row at this mark is dealt with."""
        return any(start <= mark < end for start, end in self.ranges)


@dataclass(frozen=True)
class Checkpoint:
    """A load between two acknowledgements.

    :param identity: what the load is: if any of it differs at the next attempt, the load starts over.
    :param done: what is dealt with.
    :param receipt: what was acknowledged so far.
    :param dead_letter_bytes: length of the dead-letter file that belongs to it.
    """

    identity: Mapping[str, str]
    done: Done
    receipt: Receipt
    dead_letter_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-plain."""
        return {
            "version": VERSION,
            "identity": dict(self.identity),
            "done": [[list(start), list(end)] for start, end in self.done.ranges],
            "receipt": self.receipt.to_dict(),
            "dead_letter_bytes": self.dead_letter_bytes,
        }

    @classmethod
    def from_dict(cls, plain: Any) -> Checkpoint | None:
        """The other way round; ``None`` for what another version wrote."""
        if not isinstance(plain, Mapping) or plain.get("version") != VERSION:
            return None
        done = Done(tuple((Mark(*start), Mark(*end)) for start, end in plain["done"]))
        return cls(plain["identity"], done, Receipt.from_dict(plain["receipt"]), plain["dead_letter_bytes"])


def resume(kept: Any, identity: Mapping[str, str]) -> tuple[Checkpoint | None, str]:
    """The checkpoint to go on from, or ``None``; and what to say of it."""
    if kept is None:
        return None, ""
    checkpoint = Checkpoint.from_dict(kept)
    if checkpoint is None:
        return None, "The checkpoint is of another version of the provider: starting over."
    changed = _changed(checkpoint.identity, identity)
    if changed:
        return None, f"The checkpoint is of another load ({', '.join(changed)} changed): starting over."
    receipt = checkpoint.receipt
    return checkpoint, (
        f"Going on where the last attempt was: {receipt.vectors:,} vectors in {receipt.batches} batches are "
        f"acknowledged already, the last as mutation {receipt.mutation_id}."
    )


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[str]:
    return [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
