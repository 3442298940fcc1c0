"""What operators that write have in common."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook


class WritingOperator(BaseOperator):
    """Base of operators that write by one client, which a killed task stops."""

    vectorize_conn_id: str
    limits: Limits = LIMITS
    _client: VectorizeClient | None = None

    def open_client(self, context: Context) -> VectorizeClient:
        """Return a client of its own. From the second attempt on, its first write waits for late requests."""
        hook = VectorizeHook(self.vectorize_conn_id, limits=self.limits, context=context)
        self._client = hook.get_conn()
        return self._client

    def on_kill(self) -> None:
        """Send nothing more, and stop waiting."""
        if self._client is not None:
            self._client.stop()
