"""Endpoints of Workers KV: read and write one value of a namespace.

Assumptions that only the real service could confirm: a read over the REST API shows the last value that was written
over it, at the latest after a minute. A written value is kept as it was sent, with the content type ``text/plain``.
"""

from __future__ import annotations

from urllib.parse import quote

from airflow_provider_vectorize.api.indexes import settle_afterwards
from airflow_provider_vectorize.api.late import Change
from airflow_provider_vectorize.api.transport import Transport
from airflow_provider_vectorize.errors import AuthError

PERMISSION = "Workers KV also needs the permission Workers KV Storage: Edit."


class KvEndpoints(Transport):
    """Send requests to Workers KV. The parameters are those of :class:`~.transport.Transport`."""

    def read_kv(self, namespace_id: str, key: str) -> bytes:
        """Return a value.

        :raises KvKeyNotFoundError: The namespace has no such key.
        :raises KvNamespaceNotFoundError: The account has no such namespace.
        """
        try:
            content: bytes = self.send("GET", _path(namespace_id, key), raw=True).result
        except AuthError as error:
            raise AuthError(f"{error.message} {PERMISSION}", **error.facts) from None
        return content

    @settle_afterwards
    def write_kv(self, namespace_id: str, key: str, value: bytes) -> None:
        """Create or replace a value, without an expiration. The request is atomic.

        :raises KvNamespaceNotFoundError: The account has no such namespace.
        """
        path = _path(namespace_id, key)
        try:
            self.send("PUT", path, value, content_type="text/plain", change=Change(f"kv://{namespace_id}/{key}"))
        except AuthError as error:
            raise AuthError(f"{error.message} {PERMISSION}", **error.facts) from None


def _path(namespace_id: str, key: str) -> str:
    return f"/storage/kv/namespaces/{quote(namespace_id, safe='')}/values/{quote(key, safe='')}"
