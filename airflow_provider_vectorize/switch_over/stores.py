"""The store of a pointer in Workers KV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_vectorize.api.kv import KvEndpoints
from airflow_provider_vectorize.errors import KvKeyNotFoundError
from airflow_provider_vectorize.switch_over.publish import checked_writes


@dataclass(frozen=True)
class KvPointerStore:
    """A pointer in Workers KV.

    :param client: Client of the account that has the namespace.
    :param namespace_id: ID of the namespace.
    :param key: Key of the value.
    """

    client: KvEndpoints
    namespace_id: str
    key: str

    @property
    def uri(self) -> str:
        """URI that identifies the pointer."""
        return f"kv://{self.namespace_id}/{self.key}"

    def read(self) -> bytes | None:
        """Return the stored value, or ``None`` if the key does not exist."""
        try:
            return self.client.read_kv(self.namespace_id, self.key)
        except KvKeyNotFoundError:
            return None

    def write(self, value: bytes, check: Callable[[], None] = lambda: None) -> None:
        """Create or replace the value.

        :param check: Called right before each attempt, because waits and retries can take half an hour.
        """
        with checked_writes(self.client, check):
            self.client.write_kv(self.namespace_id, self.key, value)
