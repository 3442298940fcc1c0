"""The sensor that waits until a load can be queried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    Context,
    conf,
)

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError, TerminalApiError
from airflow_provider_vectorize.hooks.connection import client_from
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.look import Look, look
from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger
from airflow_provider_vectorize.waits import Wait, waits_for


class VectorizeMutationSensor(BaseSensorOperator):
    """Wait until mutations are visible: until what was written can be queried.

    Mutation ids have no order and may never be shown, so the sensor looks for a proof: the index's watermark is the
    mutation, or one that was sent after it; or the watermark's time has passed the acknowledgement and new vectors of
    the load read back as they were sent; or, where there is nothing new to read back, enough later batches were
    processed, or none for minutes. While it waits, it says in the log what it sees.

    Nothing goes to XCom. A retry looks anew. After ``timeout`` it fails without retries, as sensors do.

    :param mutation: a receipt (what an insert or upsert returns), a mutation id, or a list of either, for instance
        the output of mapped loads. (templated)
    :param index_name: the index, for bare mutation ids. (templated)
    :param deferrable: wait in the triggerer, without a worker; all that wait there for an index share its looks.
        Default: the deployment's setting.
    :param poke_interval: seconds between two looks, each of one request (four or more when vectors are read back).
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises AirflowSensorTimeout: not visible within ``timeout`` seconds; the text tells what was missing.
    :raises AirflowFailException: it never will be, since the index is gone; or the credentials are wrong.
    """

    template_fields: Sequence[str] = ("mutation", "index_name", "vectorize_conn_id")
    ui_color = "#fbe0c6"

    def __init__(
        self,
        *,
        mutation: Any,
        index_name: str | None = None,
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.mutation = mutation
        self.index_name = index_name
        self.vectorize_conn_id = vectorize_conn_id
        self.deferrable = deferrable
        self._last: Look | None = None

    @cached_property
    def _waits(self) -> list[Wait]:
        waits = waits_for(self.mutation, self.index_name)
        if self.reschedule and not self.deferrable and not all(wait.samples for wait in waits):
            raise ConfigError(
                "What has no vectors to read back cannot be waited for in reschedule mode, which forgets what was seen "
                "before: pass the receipt instead of a mutation id, or use deferrable=True."
            )
        return waits

    @cached_property
    def _client(self) -> VectorizeClient:
        connection = VectorizeHook(self.vectorize_conn_id).connection()
        # The next look is the retry, and looking is what the budget's reserve is for.
        return client_from(connection, retry=RetryPolicy(total=0), reserve=0)

    def execute(self, context: Context) -> Any:
        """Wait in the triggerer, whose one poll serves all who wait; or here."""
        if not self._waits:  # what cannot be waited for shows here, before anybody is asked
            self.log.info("Nothing was written, so there is nothing to wait for.")
            return
        if self.deferrable:
            self._execute_deferrable()
            return
        try:
            super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(f"{error} {self._last.text if self._last else ''}") from None

    def _execute_deferrable(self) -> None:
        self.defer(
            trigger=VectorizeMutationTrigger(
                waits=[wait.to_dict() for wait in self._waits],
                vectorize_conn_id=self.vectorize_conn_id,
                poke_interval=float(self.poke_interval),
                deadline=time.time() + float(self.timeout),
            ),
            method_name="execute_complete",
        )

    def poke(self, context: Context) -> bool:
        """One look."""
        try:
            self._last = look(self._client, self._waits, self._last.seen if self._last else {})
        except TerminalApiError as error:
            raise AirflowFailException(str(error)) from error
        if self._last.never:
            raise AirflowFailException(self._last.never)
        self.log.info("%s", self._last.text)
        return self._last.visible

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Take the trigger's event."""
        status, text = (event or {}).get("status"), (event or {}).get("text", "")
        if status == "visible":
            self.log.info("Visible.")  # the trigger has said by which proof
        elif status == "timeout":
            raise AirflowSensorTimeout(f"Not visible after {self.timeout:.0f} s. {text}")
        else:
            raise AirflowFailException(text or f"The trigger ended with an unknown event: {event!r}")
