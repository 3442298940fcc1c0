"""Upstream storage: the only place that opens it."""

from airflow_provider_vectorize.storage.objects import BLOCK_BYTES, StoredObject, _path, find
from airflow_provider_vectorize.storage.written import StoredFile

__all__ = ["BLOCK_BYTES", "StoredFile", "StoredObject", "_path", "find"]
