"""Hold the options of a load and the checks of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import Operation, UnparsableBehavior
from airflow_provider_vectorize.load.collector import Collector
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.parameters import (
    Check,
    flag,
    instance_of,
    one_of,
    optional,
    time,
    whole_number,
)
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.rows.reader import RowReader
from airflow_provider_vectorize.rows.row_processes import Processes, processes
from airflow_provider_vectorize.rows.row_readers import choose_reader
from airflow_provider_vectorize.rows.validation import FLOAT32_TEXT, VALIDATION, Float32Text, Validation
from airflow_provider_vectorize.sources.fields import DEFAULT_FIELDS, Fields, parse_fields
from airflow_provider_vectorize.sources.formats import FORMAT, Format, FormatSetting

OnBadRow = Literal["fail", "dead_letter"]

#: Checks of the parameters of a load, by parameter name.
LOAD_CHECKS: Mapping[str, Check] = {
    "operation": one_of(*get_args(Operation)),
    "validation": VALIDATION,
    "float32_text": FLOAT32_TEXT,
    "unparsable_behavior": one_of(*get_args(UnparsableBehavior)),
    "on_bad_row": one_of(*get_args(OnBadRow)),
    "max_bad_rows": whole_number(0),
    "max_in_flight": whole_number(1),
    "processes": processes,
    "durable": flag,
    "limits": instance_of(Limits),
    "format": FORMAT,
    "fields": parse_fields,
    "created_on": optional(time),
}


@dataclass(frozen=True)
class LoadOptions:
    """The options of a load.

    :param validation: How strictly rows are checked, see :func:`~.validation.choose_check`. Default: ``full``.
    :param float32_text: Whether values are rewritten as shorter text, see the same function. Default: ``auto``.
    :param unparsable_behavior: ``error`` (default) treats a line that is not a valid JSON vector as any other bad row.
        ``discard`` rejects it, and counts and logs it. Vectorize is never asked to discard lines, because it does not
        report what it discarded.
    :param dead_letters: The dead-letter file for rejected rows. Without it, the first bad row fails the load.
    :param max_bad_rows: The load fails once more than this many rows are rejected. Default: 1,000.
    :param max_in_flight: Maximum number of concurrent requests, at least 1. Default: 4.
    :param processes: Number of processes that prepare rows, see :class:`~.row_processes.RowProcesses`. Default:
        ``auto``.
    :param limits: Cloudflare's limits.
    :param format: Format of the objects. Default: detected from their names, or else their first bytes.
    :param fields: Which fields of the source become the fields of a vector. Default: the format of Vectorize itself.
    :param collector: Collects what checks need. It requires ``validation="full"``. Default: nothing is collected.
    """

    validation: Validation = "full"
    float32_text: Float32Text = "auto"
    unparsable_behavior: UnparsableBehavior = "error"
    dead_letters: DeadLetters | None = None
    max_bad_rows: int = 1_000
    max_in_flight: int = 4
    processes: Processes = "auto"
    limits: Limits = LIMITS
    format: FormatSetting = "auto"
    fields: Fields = DEFAULT_FIELDS
    collector: Collector | None = None

    def make_reader(
        self, object_format: Format, dimensions: int, hasher: RowHasher | None = None, selective: bool = False
    ) -> RowReader:
        """Return a new reader of the source.

        :param object_format: Format of all objects.
        :param dimensions: Number of dimensions of the index.
        :param hasher: Calculates the hashes of rows. Default: no hashes.
        :param selective: Whether few of the rows are sent, see :func:`~.validation.choose_check`. Default: no.
        """
        return choose_reader(
            object_format,
            self.fields,
            dimensions,
            self.limits,
            self.validation,
            self.float32_text,
            hasher,
            self.processes,
            selective,
            keep_values=self.collector is not None,
        )
