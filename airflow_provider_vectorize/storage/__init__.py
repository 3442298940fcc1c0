"""Access to upstream storage, the only package that opens it: names become locations, objects and streams of text."""

from airflow_provider_vectorize.storage.objects import StoredObject, find
from airflow_provider_vectorize.storage.output_files import (
    ChecksFile,
    DeadLetterFile,
    OutputFile,
    QueriesFile,
    ReportFile,
)
from airflow_provider_vectorize.storage.state_folder import StoredFolder
from airflow_provider_vectorize.storage.store import BLOCK_BYTES
from airflow_provider_vectorize.storage.whole_objects import StoredValue

__all__ = [
    "BLOCK_BYTES",
    "ChecksFile",
    "DeadLetterFile",
    "OutputFile",
    "QueriesFile",
    "ReportFile",
    "StoredFolder",
    "StoredObject",
    "StoredValue",
    "find",
]
