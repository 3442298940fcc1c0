"""Describe benchmarks: cases, the groups in which they are compared, their results, and targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import corpus

#: Options of a load, by what it checks. The defaults are full checks with float32 text.
FULL = {"float32_text": "never"}
LIGHT = {"validation": "light", "float32_text": "never"}
OFF = {"validation": "off", "float32_text": "never"}
#: Maximum number of vectors of a request, and of bytes.
REQUEST_VECTORS, REQUEST_BYTES = 5_000, 100_000_000


@dataclass(frozen=True)
class Case:
    """One line of a table.

    :param label: What is measured.
    :param contestant: Name of a function in contestants.py.
    :param file: Local file with the source, or a pattern of such files.
    :param options: Options of the contestant.
    :param runs: Number of runs.
    :param rows: Number of rows of the source, for groups whose sources have different formats.
    :param uri: URI of the same source in other storage, from which it is read instead.
    :param environment: Additional environment variables.
    """

    label: str
    contestant: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)
    runs: int = 3
    rows: int = 0
    uri: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What the contestant reads."""
        return self.uri or self.file

    @property
    def one_row(self) -> str:
        """Source with one row, in the same folder."""
        folder, _, name = self.source.rpartition("/")
        return f"{folder}/one-row{'' if '*' in name else f'-{name}'}"

    @property
    def source_bytes(self) -> int:
        """Uncompressed bytes of the source."""
        file = Path(self.file.removesuffix(".gz"))
        return sum(part.stat().st_size for part in file.parent.glob(file.name))


@dataclass(frozen=True)
class Result:
    """Medians of a case.

    :param seconds: Duration of a run.
    :param spread: Shortest and longest duration.
    :param over_mb: Peak memory in MB above that of the process after a load of one row.
    :param cpu: CPU seconds of the process and of its children.
    :param started: Largest number of processes that a run started.
    :param started_mb: Peak memory in MB of the largest of these processes, with everything that it imports, or 0.
    :param requests: Number of write requests of a run.
    :param reads: Number of all other requests of a run.
    :param bytes_sent: Bytes of all request bodies of a run.
    :param largest: Bytes of the largest request body.
    """

    case: Case
    seconds: float
    spread: tuple[float, float]
    over_mb: float
    cpu: float
    started: int
    started_mb: float
    requests: int
    reads: int
    bytes_sent: int
    largest: int

    @property
    def rate(self) -> float:
        """MB/s of source text."""
        return self.case.source_bytes / 1e6 / self.seconds

    @property
    def vectors_per_second(self) -> float:
        """Rows of the source per second, or 0 if the case does not say how many it has."""
        return self.case.rows / self.seconds


@dataclass(frozen=True)
class Target:
    """A target and the measured value."""

    name: str
    target: str
    measured: str
    is_met: bool


def at_least(name: str, target: float, measured: float, unit: str = "") -> Target:
    return Target(name, f"at least {target:g}{unit}", f"{measured:.3g}{unit}", measured >= target)


def at_most(name: str, target: float, measured: float, unit: str = "") -> Target:
    return Target(name, f"at most {target:g}{unit}", f"{measured:.3g}{unit}", measured <= target)


def no_targets(_: dict[str, Result]) -> list[Target]:
    return []


@dataclass(frozen=True)
class Group:
    """Cases that take turns (A B C A B C), so that they can be compared: one table.

    :param title: Heading of the table.
    :param targets: Returns the targets, from the results by the label of their cases.
    :param text: Text above the table.
    :param dimensions: Dimensions of the index.
    :param latency: Seconds before each response of the sink.
    :param rate: Maximum MB/s of each connection, 0 for no limit.
    :param holds_corpus: Whether the index of the sink holds the rows of the corpus.
    """

    title: str
    cases: Sequence[Case]
    targets: Callable[[dict[str, Result]], list[Target]] = no_targets
    text: str = ""
    dimensions: int = 768
    latency: float = 0.0
    rate: float = 0.0
    holds_corpus: bool = False


@dataclass(frozen=True)
class Files:
    """The files of vectors, which are created when they are first needed.

    :param folder: Where they are.
    :param scale: Factor for their sizes, below 1 for a trial.
    """

    folder: Path
    scale: float = 1.0

    def size(self, megabytes: int) -> int:
        """Return the size of a file in MB, from that in a full benchmark."""
        return max(10, int(megabytes * self.scale))

    def ndjson(self, dimensions: int, megabytes: int) -> str:
        """Return a file of ndjson as Python's ``json`` writes it."""
        return str(corpus.ndjson(self.folder, dimensions, self.size(megabytes)))


def ours(label: str, file: str, runs: int = 3, **options: Any) -> Case:
    """Return a case of this provider's operator."""
    return Case(label, "ours", file, options, runs)


def rows_in(file: str) -> int:
    with Path(file).open("rb") as stream:
        return sum(1 for _ in stream)


def requests_target(name: str, minimum: int, result: Result) -> Target:
    return Target(f"requests, {name}", f"the minimum, {minimum:,}", f"{result.requests:,}", result.requests == minimum)


def requests_of(vectors: int) -> int:
    """Return the minimum number of requests for short rows, which only the number of vectors limits."""
    return -(-vectors // REQUEST_VECTORS)


def minimum_requests(file: str) -> int:
    """Return the minimum number of requests for the rows of a file, unchanged and in their order."""
    requests, rows, filled = 0, 0, 0
    with Path(file).open("rb") as stream:
        for line in stream:
            if not rows or rows >= REQUEST_VECTORS or filled + len(line) > REQUEST_BYTES:
                requests, rows, filled = requests + 1, 0, 0
            rows += 1
            filled += len(line)
    return requests
