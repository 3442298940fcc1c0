"""Choose the reader for the format of a source."""

from __future__ import annotations

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.rows.check_settings import CheckSettings
from airflow_provider_vectorize.rows.hashing import RowHasher
from airflow_provider_vectorize.rows.ndjson_reader import NdjsonReader
from airflow_provider_vectorize.rows.parquet_reader import ParquetRowReader
from airflow_provider_vectorize.rows.reader import RowReader
from airflow_provider_vectorize.rows.row_processes import Processes
from airflow_provider_vectorize.rows.validation import Float32Text, Validation, check_settings
from airflow_provider_vectorize.sources.fields import Fields
from airflow_provider_vectorize.sources.formats import Format


def choose_reader(
    object_format: Format,
    fields: Fields,
    dimensions: int,
    limits: Limits,
    validation: Validation,
    float32_text: Float32Text,
    hasher: RowHasher | None = None,
    processes: Processes = 1,
    selective: bool = False,
    keep_values: bool = False,
) -> RowReader:
    """Return the reader for a source.

    Rows of Parquet are always checked in full, because their checks cost little.

    :param object_format: Format of all objects of the source.
    :param fields: Which fields of the source become the fields of a vector.
    :param dimensions: Number of dimensions of the index.
    :param validation: See :func:`~.validation.choose_check`.
    :param float32_text: See the same function. For Parquet, ``auto`` means ``always``.
    :param hasher: Calculates the hashes of rows of ndjson while they are checked. ``None`` (default): no hashes.
    :param processes: Number of processes that prepare rows, see :class:`~.row_processes.RowProcesses`.
    :param selective: Whether few of the rows are sent, see :func:`~.validation.choose_check`. Default: no.
    :param keep_values: Whether the values of the rows are needed besides their text. Other processes then copy them.
    :raises ConfigError: ``validation`` and ``float32_text`` contradict each other.
    """
    check_settings(validation, float32_text)
    if object_format == "parquet":
        return ParquetRowReader(fields, dimensions, limits, float32_text=float32_text != "never", processes=processes)
    settings = CheckSettings(dimensions, limits, validation, float32_text, hasher, fields, selective, keep_values)
    return NdjsonReader(settings, processes)
