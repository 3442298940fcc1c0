"""Read the objects of a source, compare their rows with what the index holds, and yield the rows to send."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from airflow_provider_vectorize.errors import BadRowError, SourceError
from airflow_provider_vectorize.load.collector import Collector
from airflow_provider_vectorize.rows.bad_row_ids import readable_id
from airflow_provider_vectorize.rows.block_rows import BadRow, Rows, select_rows, with_short_values
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.rows.reader import RowReader, read_object
from airflow_provider_vectorize.sources.lines import Position
from airflow_provider_vectorize.sources.source_object import SourceObject
from airflow_provider_vectorize.sync.table import ADDED, NO_OBJECT, SEEN, SENT, IdTable, id_keys

log = logging.getLogger(__name__)

#: Number of IDs that the warning about changing duplicates names.
EXAMPLES = 5


@dataclass
class Findings:
    """What the comparison found besides rows to send.

    :param rows_read: Number of rows, good and bad, by object number.
    :param good_rows: Number of good rows.
    :param bad_rows: Number of bad rows.
    :param rows_added: Number of rows whose ID was not known before.
    :param rows_changed: Number of other rows that are sent.
    :param unfinished: Error of each object that was not read to its end.
    :param unclean: Numbers of the objects with bad rows.
    :param shared: Numbers of the objects that share an ID with another object.
    :param unreadable: Where the rows are whose ID cannot be read, as text. Only the first ones.
    :param unreadable_rows: Number of these rows.
    :param duplicates: Number of rows whose ID occurred before.
    :param flapping: A few IDs that occur with different contents, so that they are sent every night.
    :param sent_again: IDs that were sent more than once.
    :param moved: Whether an ID belongs to another object than before.
    """

    rows_read: dict[int, int] = field(default_factory=dict)
    good_rows: int = 0
    bad_rows: int = 0
    rows_added: int = 0
    rows_changed: int = 0
    unfinished: dict[int, SourceError] = field(default_factory=dict)
    unclean: set[int] = field(default_factory=set)
    shared: set[int] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)
    unreadable_rows: int = 0
    duplicates: int = 0
    flapping: list[str] = field(default_factory=list)
    sent_again: set[str] = field(default_factory=set)
    moved: bool = False

    def is_complete(self, number: int) -> bool:
        """Return whether an object was read to its end, and the next run may skip it if it has the same version."""
        return number not in self.unfinished and number not in self.unclean and number not in self.shared


class Comparison:
    """Compares the rows of a source with the table, once.

    :param table: The known IDs. The comparison marks the IDs that it sees, and adds those that are new.
    :param objects: The source, in order.
    :param skipped: For each object whether it is skipped, and at the end ``False`` for :data:`NO_OBJECT`. The
        comparison opens a skipped object after all if an earlier object shares an ID with it.
    :param reader: Reads and checks rows, and may calculate their hashes.
    :param id_path: Where the ID is in a bad row.
    :param hasher: Calculates the hashes that the reader does not.
    :param reject: Called with bad rows. Raises if the sync may not continue without them.
    :param collector: Collects what checks need of the rows that are read, or ``None``.
    """

    def __init__(
        self,
        table: IdTable,
        objects: Sequence[SourceObject],
        skipped: np.ndarray,
        reader: RowReader,
        id_path: Sequence[str],
        hasher: RowHasher,
        reject: Callable[[Sequence[BadRow]], None],
        collector: Collector | None = None,
    ) -> None:
        self.table = table
        self.skipped = skipped
        self.findings = Findings()
        self.objects = objects
        self.position = Position()  #: What is before it was compared. Other threads may read it and the findings.
        self._reader = reader
        self._id_path = id_path
        self._hasher = hasher
        self._reject = reject
        self._collector = collector

    def rows_to_send(self, stopped: Callable[[], bool] = lambda: False) -> Iterator[Rows]:
        """Yield the rows to send, block by block.

        An object that cannot be read to its end is noted, and the others are still read.

        :param stopped: Returns whether reading should end early.
        :raises BadRowError: The sync may not continue without a bad row.
        """
        for number, source_object in enumerate(self.objects):
            if self.skipped[number]:
                continue
            self.findings.rows_read[number] = 0
            try:
                for rows in read_object(source_object, self._reader, Position(number)):
                    if stopped():
                        return
                    selected = self._compare(rows)
                    self.position = rows.end
                    yield selected
                    del rows, selected  # A long line must not stay in memory while the next one is read.
            except BadRowError:
                raise
            except SourceError as error:
                self.findings.unfinished[number] = error
                log.warning("Could not read an object to its end, so nothing is deleted in this run: %s", error)
            self.position = Position(number + 1)

    def uri(self, number: int) -> str:
        """Return the URI of an object."""
        return self.objects[number].uri

    # ---------------------------------------------------------------- good rows

    def _compare(self, rows: Rows) -> Rows:
        """Return the rows of a block that are sent."""
        findings = self.findings
        findings.rows_read[rows.object] += len(rows.ends) + len(rows.bad)
        findings.good_rows += len(rows.ends)
        findings.bad_rows += len(rows.bad)
        if self._collector:
            self._collector.see(rows)
        ids = [vector_id for vector_id in rows.ids if vector_id is not None]
        hashes = rows.hashes if rows.hashes is not None else self._hasher.hash_lines(rows.body, rows.ends)
        selected: list[int] = []
        for first, stop in _different_ids(ids):
            selected += self._compare_rows(ids[first:stop], hashes[first:stop], rows.object, first)
        if rows.bad:
            self._note_bad_rows(rows)
        rows = rows._replace(hashes=hashes)
        return with_short_values(rows if len(selected) == len(ids) else select_rows(rows, selected))

    def _compare_rows(self, ids: list[str], hashes: list[int], number: int, first: int) -> list[int]:
        """Compare rows with different IDs, and return the numbers of those that are sent, counted from ``first``."""
        table = self.table
        keys, content = id_keys(ids), np.array(hashes, np.uint64)
        positions = table.find(keys)
        same = (positions >= 0) & (table.hashes[positions] == content) if len(table) else np.zeros(len(ids), bool)
        self._see(positions[same], number)
        new: list[int] = []
        selected: list[int] = []
        for row in np.flatnonzero(~same).tolist():
            position = int(positions[row])
            if position >= 0:
                position = table.find_exactly(ids[row], int(keys[row]), position)
            if position < 0:
                new.append(row)
            elif self._changes(position, ids[row], hashes[row], number):
                selected.append(row)
        self.findings.rows_added += len(new)
        self.findings.rows_changed += len(selected)
        if new:
            table.add(
                [ids[row] for row in new], keys[new], content[new], np.full(len(new), number), SEEN | SENT | ADDED
            )
        return [first + row for row in sorted(selected + new)]

    def _changes(self, position: int, vector_id: str, content: int, number: int) -> bool:
        """Note a row with a known ID, and return whether it has to be sent."""
        table, findings = self.table, self.findings
        flags = int(table.flags[position])
        self._see(np.array([position]), number)
        if int(table.hashes[position]) == content:
            return False
        if flags & SEEN and len(findings.flapping) < EXAMPLES and vector_id not in findings.flapping:
            findings.flapping.append(vector_id)
        if flags & SENT:
            findings.sent_again.add(vector_id)
        table.hashes[position] = content
        table.flags[position] |= SENT
        return True

    def _see(self, positions: np.ndarray, number: int) -> None:
        """Note that an object has these IDs, and find other objects that also have them."""
        table = self.table
        holders, flags = table.objects[positions], table.flags[positions]
        seen = flags & SEEN != 0
        if not (seen | (holders != number)).any():  # Of nearly all rows, no other object and no earlier row has the ID.
            table.flags[positions] = flags | SEEN
            return
        self.findings.duplicates += int(np.count_nonzero(seen))
        held = (seen | self.skipped[holders]) & (holders != number) & (holders != NO_OBJECT)
        for holder in np.unique(holders[held]).tolist():
            self.findings.shared |= {holder, number}
            if holder > number:  # The last object with an ID wins, so it has to be read after this one.
                self.skipped[holder] = False
        self.findings.moved = self.findings.moved or bool(np.any(holders != number))
        table.objects[positions] = number
        table.flags[positions] |= SEEN

    # ---------------------------------------------------------------- bad rows

    def _note_bad_rows(self, rows: Rows) -> None:
        """Note the IDs of bad rows: their vectors stay in the index as they are."""
        self.findings.unclean.add(rows.object)
        for bad in rows.bad:
            vector_id = readable_id(bad.text, self._id_path)
            if vector_id is None:
                self.findings.unreadable_rows += 1
                if len(self.findings.unreadable) < EXAMPLES:
                    self.findings.unreadable.append(self._reader.label(self.uri(rows.object), bad.position))
            elif (position := self.table.position(vector_id)) >= 0:
                self._see(np.array([position]), rows.object)
        self._reject(rows.bad)


def _different_ids(ids: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Split IDs into ranges in which no ID occurs twice."""
    if len(set(ids)) == len(ids):
        yield 0, len(ids)
        return
    first, seen = 0, set[str]()
    for number, vector_id in enumerate(ids):
        if vector_id in seen:
            yield first, number
            first, seen = number, set()
        seen.add(vector_id)
    yield first, len(ids)
