"""How far a load is: what its log says every few seconds, and what metrics are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.quantities import format_duration, format_rate, format_size, pluralize
from airflow_provider_vectorize.sources.compression import is_compressed
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.source_object import SourceObject


@dataclass(frozen=True)
class Progress:
    """A load at some moment.

    :param receipt: what was acknowledged, …
    :param before: … and of that, what earlier attempts of the task had.
    :param share: of the source's stored bytes that are dealt with, 0 to 1; ``None``: a size is not known.
    :param share_before: the same, when this attempt began.
    :param seconds: since then.
    :param requests: that this attempt began.
    :param retries: of those, the ones that repeat one that failed.
    :param in_flight: batches on the wire.
    :param waited: seconds that requests of this attempt were kept back by rate limits, all threads together.
    """

    receipt: Receipt
    before: Receipt
    share: float | None
    share_before: float
    seconds: float
    requests: int
    retries: int
    in_flight: int
    waited: float

    @property
    def seconds_left(self) -> float | None:
        """Until the end at this attempt's rate, or ``None`` where that is not known."""
        new = (self.share or 0) - self.share_before
        return (1 - self.share) / new * self.seconds if self.share and new > 0 else None

    def __str__(self) -> str:
        """Return one line for the log while the load runs."""
        receipt, new = self.receipt, self.receipt.bytes_sent - self.before.bytes_sent
        share = "" if self.share is None else f" ({self.share:.0%} of the source)"
        parts = [
            f"Uploaded {pluralize(receipt.vectors, 'vector')}{share}, {format_size(receipt.bytes_sent)} sent",
            format_rate(new, self.seconds),
        ]
        if self.seconds_left:
            parts.append(f"about {format_duration(self.seconds_left)} left")
        if receipt.rejected:
            parts.append(f"{pluralize(receipt.rejected, 'row')} rejected")
        parts += [pluralize(self.requests, "request"), f"{self.in_flight:,} in flight"]
        parts.append(pluralize(self.retries, "retry", "retries"))
        return ", ".join(parts) + self._lost

    def summary(self) -> str:
        """Return one line for the log at the end of the load."""
        receipt, before = self.receipt, self.before
        lasted = f"{self.seconds:.1f} s" if self.seconds < 10 else format_duration(self.seconds)
        batches, sent = receipt.batches - before.batches, receipt.bytes_sent - before.bytes_sent
        line = f"Uploaded {pluralize(receipt.vectors - before.vectors, 'vector')} in {pluralize(batches, 'request')}"
        line += f" ({format_size(sent)}) in {lasted}, {format_rate(sent, self.seconds)}"
        if before.vectors:
            line += f", after {pluralize(before.vectors, 'vector')} in earlier attempts"
        if receipt.rejected:
            line += f", {pluralize(receipt.rejected, 'row')} rejected"
        if self.retries:
            line += f", {pluralize(self.retries, 'retry', 'retries')}"
        return f"{line}{self._lost}. Last mutation: {receipt.mutation_id}."

    @property
    def _lost(self) -> str:
        return f", {format_duration(self.waited)} lost to rate limits" if self.waited >= 1 else ""


#: Is told of a load's progress every few seconds, and at its end.
Observer = Callable[[Progress], None]


class LastProgress:
    """Keeps the last progress of a load, for the line at its end, and passes each on."""

    def __init__(self, observer: Observer) -> None:
        self.last: Progress | None = None
        self._observer = observer

    def __call__(self, progress: Progress) -> None:
        self.last = progress
        self._observer(progress)


def share_done(objects: Sequence[SourceObject], upto: Position) -> float | None:
    """The share of the source's stored bytes before a mark, or ``None`` where a size is not known.

    Of a compressed object only the end is known, so it counts when it is dealt with.
    """
    sizes = [item.size for item in objects]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or not sum(known):
        return None
    done = sum(known[: upto.object])
    current = objects[upto.object] if upto.object < len(objects) else None
    if current and not is_compressed(current.key, current.encoding):
        done += min(upto.offset, known[upto.object])
    return done / sum(known)
