"""Upstream storage: the only place that opens it. Names become locations, then objects, then streams of text."""

from airflow_provider_vectorize.storage.dead_letter_file import StoredFile
from airflow_provider_vectorize.storage.objects import StoredObject, find
from airflow_provider_vectorize.storage.store import BLOCK_BYTES

__all__ = ["BLOCK_BYTES", "StoredFile", "StoredObject", "find"]
