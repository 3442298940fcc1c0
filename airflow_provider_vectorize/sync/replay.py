"""Apply the pending logs of runs that died to the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from airflow_provider_vectorize.rows.hashing import UNKNOWN
from airflow_provider_vectorize.sync.decisions import acknowledged_numbers
from airflow_provider_vectorize.sync.log import Record
from airflow_provider_vectorize.sync.table import DELETED, NO_OBJECT, IdTable, id_keys


def replay(
    table: IdTable, records: Mapping[str, Sequence[Record]], numbers: Mapping[str, int], *, trusted: bool
) -> set[int]:
    """Apply pending records to the table.

    Acknowledged records count if they are trusted. All other IDs become unknown: they stay in the table, because a
    request may have written them.

    :param records: The pending records of each run, in order.
    :param numbers: Numbers of the objects of the source by URI.
    :param trusted: Whether acknowledged records count.
    :return: Numbers of the objects that have to be opened, because a record names them or they have an ID of a record.
    """
    opened: set[int] = set()
    unknown: dict[str, None] = {}  # In order, so that the same logs always lead to the same table.
    for run_records in records.values():
        acknowledged = acknowledged_numbers(run_records) if trusted else set()
        refused = {number: ids for record in run_records for number, ids in record.refused.items()}
        for record in run_records:
            counts = record.number in acknowledged
            last = {vector_id: row for row, vector_id in enumerate(record.ids)}
            ids = list(last)
            positions = _positions(table, ids)
            opened.update(table.objects[positions].tolist())
            opened.update(numbers.get(uri, NO_OBJECT) for uri in set(record.objects))
            if not counts:
                unknown.update(dict.fromkeys(ids))
            elif record.kind == "delete":
                table.flags[positions] |= DELETED
                table.hashes[positions] = UNKNOWN  # A row that returns has to be sent, even with the same content.
            else:
                table.flags[positions] &= ~np.uint8(DELETED)
                table.hashes[positions] = [record.hashes[row] for row in last.values()]
                table.objects[positions] = [numbers.get(record.objects[row], NO_OBJECT) for row in last.values()]
                unknown.update(dict.fromkeys(refused.get(record.number, ())))
    _forget(table, unknown)
    return opened - {NO_OBJECT}


def _positions(table: IdTable, ids: Sequence[str]) -> np.ndarray:
    """Return the positions of different IDs. Those that the table does not have are added as unknown."""
    keys = id_keys(ids)
    found = table.find(keys) if len(table) else np.full(len(ids), -1)
    positions = np.array(
        [table.find_exactly(*each) for each in zip(ids, keys.tolist(), found.tolist(), strict=True)], np.int64
    )
    missing = np.flatnonzero(positions < 0)
    if len(missing):
        first = len(table)
        table.add(
            [ids[row] for row in missing.tolist()],
            keys[missing],
            np.full(len(missing), UNKNOWN, np.uint64),
            np.full(len(missing), NO_OBJECT),
            0,
        )
        positions[missing] = np.arange(first, len(table))
    return positions


def _forget(table: IdTable, ids: Iterable[str]) -> None:
    """Mark the content of IDs as unknown. An unanswered request may have written or deleted them."""
    unknown = list(ids)
    if unknown:
        positions = _positions(table, unknown)
        table.hashes[positions] = UNKNOWN
        table.flags[positions] &= ~np.uint8(DELETED)
