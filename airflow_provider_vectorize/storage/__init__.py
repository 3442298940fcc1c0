"""Upstream storage: the only place that opens it. Names become locations, then objects, then streams of text."""

from airflow_provider_vectorize.storage.objects import StoredObject, find
from airflow_provider_vectorize.storage.stores import BLOCK_BYTES
from airflow_provider_vectorize.storage.written import StoredFile

__all__ = ["BLOCK_BYTES", "StoredFile", "StoredObject", "find"]
