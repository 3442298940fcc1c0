"""How far a load is: what its log says every few seconds, and what metrics are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_provider_vectorize.load.compressed import is_compressed
from airflow_provider_vectorize.load.lines import Mark
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.load.source import SourceObject


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
        """One line for the log."""
        receipt, new = self.receipt, self.receipt.bytes_sent - self.before.bytes_sent
        rate = new / 1e6 / self.seconds if self.seconds else 0.0
        share = "" if self.share is None else f"{self.share:.0%} of the source: "
        parts = [f"{share}{receipt.vectors:,} vectors, {receipt.bytes_sent / 1e6:,.1f} MB sent, {rate:,.1f} MB/s"]
        if self.seconds_left:
            parts.append(f"about {_duration(self.seconds_left)} left")
        if receipt.rejected:
            parts.append(f"rows rejected: {receipt.rejected:,}")
        parts.append(f"requests: {self.requests}, in flight: {self.in_flight}, retries: {self.retries}")
        if self.waited >= 1:
            parts.append(f"lost to rate limits: {_duration(self.waited)}")
        return ", ".join(parts)


#: Is told of a load's progress every few seconds, and at its end.
Observer = Callable[[Progress], None]


def share_done(objects: Sequence[SourceObject], upto: Mark) -> float | None:
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


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
