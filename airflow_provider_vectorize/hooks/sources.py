"""What loads and syncs do with their sources and output files before they start."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_vectorize import storage
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.options import OnBadRow
from airflow_provider_vectorize.quantities import format_size, pluralize
from airflow_provider_vectorize.sources.source_object import SourceObject


def open_dead_letter_file(on_bad_row: OnBadRow, path: str | None, conn_id: str | None) -> storage.DeadLetterFile | None:
    """Return the dead-letter file, or ``None`` if bad rows fail the load.

    :raises ConfigError: Only one of the two parameters asks for dead letters, or the path cannot be that of a file.
    """
    if (on_bad_row == "dead_letter") != bool(path):
        raise ConfigError("on_bad_row='dead_letter' and dead_letter_path require each other. Pass both or neither.")
    return storage.DeadLetterFile(path, conn_id) if path else None


def find_objects(
    source: Sequence[str], conn_id: str | None, *output_files: storage.OutputFile | None
) -> list[storage.StoredObject]:
    """Return the objects of a source.

    :raises SourceError: An object is missing, or no object matches.
    :param output_files: Files that the task writes.
    :raises ConfigError: The source contains one of these files, or will contain it.
    """
    stored_objects = storage.find(source, conn_id)
    for output_file in filter(None, output_files):
        output_file.check_outside_source(stored_objects, source, conn_id)
    return stored_objects


def start_message(action: str, objects: Sequence[SourceObject]) -> str:
    """Return the first message of a load or a sync: what it does, with which objects.

    :param action: What it does, with ``%s`` for the number and size of the objects.
    """
    stored_bytes = sum(source_object.size or 0 for source_object in objects)
    message = action % f"{pluralize(len(objects), 'object')} ({format_size(stored_bytes)} as stored)"
    return f"{message}, the first is {objects[0].uri}" if len(objects) > 1 else f"{message}: {objects[0].uri}"
