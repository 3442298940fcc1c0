"""The sensor that waits until a load can be queried."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    Context,
    conf,
)

from airflow_provider_vectorize.errors import ConfigError, TerminalApiError
from airflow_provider_vectorize.hooks.connection import monitor_from
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import INDEX_LINK
from airflow_provider_vectorize.operators.base import IndexTask, fail_at_once, push_index_link
from airflow_provider_vectorize.parameters import Check, one_of
from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger
from airflow_provider_vectorize.visibility.monitor import IndexMonitor, Proof, Request
from airflow_provider_vectorize.visibility.rule import AGREEING_CHECKS, MarkerKind
from airflow_provider_vectorize.visibility.verdict import Verdict, amount
from airflow_provider_vectorize.visibility.waits import Wait, waits_for

#: Seconds after the deadline at which Airflow ends a deferral that no triggerer has ended.
GRACE_SECONDS = 120.0


class VectorizeMutationSensor(IndexTask, BaseSensorOperator):
    """Wait until mutations are visible: until what was written can be queried.

    The sensor succeeds only with proof: the index has shown the mutation as the last one that it processed, or it has
    shown a *marker* that was sent after it. A marker is a deletion of an id that does not exist. It is sent only where
    other writers hide the mutation: the first after about three checks, then at most one every 20 seconds for all
    sensors of a triggerer that wait for the same index by the same connection. A single writer needs none.

    While it waits, the sensor logs what it sees, what is missing and which option helps. Only the address of the
    task's link goes to XCom. A retry starts the wait again. After ``timeout`` it fails without retries, as sensors do.

    ``soft_fail`` skips the task after a timeout. A wrong token, a missing index or a wrong argument fails it even so.

    :param mutation: what a load, a deletion, a metadata index operator or a write of the hook returned; a mutation id
        with ``index_name``; a list of these, such as the output of mapped loads; or the operator itself, which means
        its output. (templated)
    :param index_name: the index, for bare mutation ids. A bare id is assumed to have been written to it. (templated)
    :param marker: ``delete``: markers are deletions of an id that does not exist. ``vector``: markers are vectors with
        ids ``airflow-marker-…`` in the namespace ``airflow-marker``, deleted as soon as they were seen; faster where
        others write ten times a second or more. ``none``: send no markers; the wait may then last as long as others
        write.
    :param proof: ``log``: wait for proof. ``read_back``: also accept as evidence that sample vectors of the receipt
        read back as they were sent, three times in a row. Evidence can be wrong: an earlier write may have sent the
        same vectors. There is no automatic fallback from proof to evidence.
    :param deferrable: wait in the triggerer without holding a worker. Default: ``[operators] default_deferrable``.
    :param poke_interval: seconds between two checks, of one request each.
    :param vectorize_conn_id: the connection to Vectorize. (templated)
    :raises AirflowSensorTimeout: not visible within ``timeout`` seconds. The message says what was missing.
    :raises AirflowTaskTimeout: not visible within ``execution_timeout``, which also counts while deferred.
    :raises AirflowFailException: it never will be, because the index is gone or was re-created; or an argument, the
        connection or the credentials are wrong.
    """

    template_fields: Sequence[str] = ("mutation", "index_name", "vectorize_conn_id")
    ui_color = "#fbe0c6"
    parameter_checks: ClassVar[Mapping[str, Check]] = {
        "marker": one_of(*get_args(MarkerKind)),
        "proof": one_of(*get_args(Proof)),
    }
    default_map_index_template = "{{ task.mutation_label }}"

    def __init__(
        self,
        *,
        mutation: Any,
        index_name: str | None = None,
        marker: MarkerKind = "delete",
        proof: Proof = "log",
        vectorize_conn_id: str = VectorizeHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.mutation = _output(mutation)
        self.index_name = index_name
        self.marker = marker
        self.proof = proof
        self.vectorize_conn_id = vectorize_conn_id
        self.deferrable = deferrable
        self._text = ""
        self.check_literals()

    # ---------------------------------------------------------------- what is waited for

    @cached_property
    def _waits(self) -> list[Wait]:
        waits = waits_for(self.mutation, self.index_name)
        if self._keeps_nothing and len(waits) > 1:
            raise ConfigError(
                f"mode='reschedule' remembers nothing between two pokes, and to prove that {len(waits)} mutations are "
                "visible takes memory. Use deferrable=True or mode='poke'."
            )
        if self.proof == "read_back" and not all(wait.samples for wait in waits):
            raise ConfigError(
                "proof='read_back' compares sample vectors, and not every mutation has some: pass receipts of loads or "
                "deletions, or use proof='log'."
            )
        return waits

    @property
    def mutation_label(self) -> str:
        """Name a mapped sensor in Airflow's pages: by what it waits for."""
        return f"{_indexes(self._waits)}: {amount(self._waits)}" if self._waits else "nothing"

    @property
    def _keeps_nothing(self) -> bool:
        return bool(self.reschedule) and not self.deferrable

    @cached_property
    def _monitors(self) -> dict[str, tuple[IndexMonitor, Request]]:
        """A monitor for each index, and what it is asked for."""
        connection = VectorizeHook(self.vectorize_conn_id).connection()
        by_index: dict[str, list[Wait]] = {}
        for wait in self._waits:
            by_index.setdefault(wait.index_name, []).append(wait)
        marker: MarkerKind = "none" if self._keeps_nothing else self.marker
        return {
            name: (monitor_from(connection, name), Request(tuple(waits), marker, self.proof))
            for name, waits in by_index.items()
        }

    # ---------------------------------------------------------------- Airflow's methods

    def execute(self, context: Context) -> Any:
        """Wait in the triggerer, where one poll serves all sensors of an index; or in this process."""
        has_link = self.do_xcom_push and "ti" in context
        if has_link:
            # Airflow looks for the link when the task ends, and logs an error if it is missing.
            context["ti"].xcom_push(key=INDEX_LINK, value="")
        with fail_at_once():
            waits = self._waits  # a wrong argument shows here, before any request
            if not waits:
                self.log.info("Nothing was written, so there is nothing to wait for.")
                return
            if has_link:
                push_index_link(context, self.vectorize_conn_id, waits[0].index_name)
        if self.deferrable:
            self._defer(waits)
        self.log.info("Waiting for %s in %s.", amount(waits), _indexes(waits))
        try:
            super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(f"{error} {self._text}".strip()) from None
        except AirflowSkipException as skip:
            self._skip_or_fail(skip)

    def poke(self, context: Context) -> bool:
        """Check once whether all mutations are visible.

        :raises AirflowFailException: they never will be; or the connection, the credentials or an argument is wrong.
        """
        try:
            verdicts = self._check()
        except (ConfigError, TerminalApiError) as error:
            raise AirflowFailException(str(error)) from error
        failure = next((verdict.failure for verdict in verdicts if verdict.failure), "")
        if failure:
            raise AirflowFailException(failure)
        self._text = " ".join(verdict.text for verdict in verdicts)
        self.log.info("%s", self._text)
        return all(verdict.visible for verdict in verdicts)

    def _check(self) -> list[Verdict]:
        verdicts = self._check_once()
        if self._keeps_nothing:
            for _ in range(AGREEING_CHECKS - 1):
                if any(verdict.disputed for verdict in verdicts):
                    verdicts = self._check_once()
            if any(verdict.needs_marker for verdict in verdicts):
                raise ConfigError(
                    "Other writers hide the mutation, and only a marker can prove that it is visible. "
                    "mode='reschedule' cannot wait for one, because it remembers nothing between two pokes. Use "
                    f"deferrable=True or mode='poke'. {' '.join(verdict.text for verdict in verdicts)}"
                )
        return verdicts

    def _check_once(self) -> list[Verdict]:
        return [monitor.check({0: request})[0][0] for monitor, request in self._monitors.values()]

    def _defer(self, waits: Sequence[Wait]) -> None:
        seconds = min(float(self.timeout), self._execution_seconds())
        deadline = time.time() + seconds
        self.log.info(
            "Waiting in the triggerer for %s in %s, until %s at the latest. A triggerer has to be running.",
            amount(waits),
            _indexes(waits),
            f"{datetime.fromtimestamp(deadline, UTC):%Y-%m-%d %H:%M:%S} UTC",
        )
        self.defer(
            trigger=VectorizeMutationTrigger(
                waits=[(wait if self.proof == "read_back" else replace(wait, samples=())).to_dict() for wait in waits],
                vectorize_conn_id=self.vectorize_conn_id,
                poke_interval=float(self.poke_interval),
                deadline=deadline,
                marker=self.marker,
                proof=self.proof,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=seconds + GRACE_SECONDS),
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Take the trigger's event."""
        status, text = (event or {}).get("status"), (event or {}).get("text", "")
        if status == "visible":
            self.log.info("%s", text)
            return
        self.log.error("%s", text)
        if status == "timeout":
            if self._execution_seconds() < float(self.timeout):
                raise AirflowTaskTimeout(f"Not visible within execution_timeout ({self.execution_timeout}). {text}")
            raise AirflowSensorTimeout(f"Not visible after {self.timeout:.0f} s. {text}")
        raise AirflowFailException(text or f"The trigger ended with an unknown event: {event!r}")

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral. ``soft_fail`` applies to a timeout only."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException as skip:
            self._skip_or_fail(skip)

    def _execution_seconds(self) -> float:
        limit: timedelta | None = self.execution_timeout
        return limit.total_seconds() if limit else float("inf")

    def _skip_or_fail(self, skip: AirflowSkipException) -> None:
        """Fail instead of skipping where waiting longer cannot help. ``never_fail`` is the user's explicit wish."""
        cause = skip.__cause__
        if isinstance(cause, AirflowFailException) and not self.never_fail:
            raise AirflowFailException(str(cause)) from cause.__cause__
        self.log.warning("Skipping the task. %s %s", cause or skip, self._text)
        raise skip


def _output(mutation: Any) -> Any:
    """An operator means its output; the other values mean themselves."""
    if isinstance(mutation, (list, tuple)):
        return [_output(one) for one in mutation]
    if isinstance(mutation, Mapping) or not hasattr(mutation, "output"):
        return mutation
    return mutation.output


def _indexes(waits: Sequence[Wait]) -> str:
    names = list(dict.fromkeys(f'"{wait.index_name}"' for wait in waits))
    return f"{'index' if len(names) == 1 else 'indexes'} {', '.join(names)}"
