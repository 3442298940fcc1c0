"""The sensor that waits until written vectors can be queried."""

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

from airflow_provider_vectorize.airflow_support.watching import warn_if_watched
from airflow_provider_vectorize.errors import ConfigError, TerminalApiError
from airflow_provider_vectorize.hooks.connection import build_monitor, read_connection
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import INDEX_LINK
from airflow_provider_vectorize.operators.base import IndexTask, fail_without_retries, push_index_link
from airflow_provider_vectorize.parameters import Check, one_of
from airflow_provider_vectorize.triggers.mutation import VectorizeMutationTrigger
from airflow_provider_vectorize.visibility.monitor import IndexMonitor, Proof, WaitRequest
from airflow_provider_vectorize.visibility.rule import CONFIRMING_CHECKS, MarkerKind
from airflow_provider_vectorize.visibility.verdict import Verdict, describe_writes
from airflow_provider_vectorize.visibility.waits import Wait, waits_for

#: Seconds after the deadline at which Airflow ends a deferral that no triggerer has ended.
GRACE_SECONDS = 120.0


class VectorizeMutationSensor(IndexTask, BaseSensorOperator):
    """Wait until mutations are visible, which means that what was written can be queried.

    The sensor succeeds only with proof: the index has shown the mutation as the last one that it processed, or it has
    shown a *marker* that was sent after the mutation. A marker is a deletion of an id that does not exist. The sensor
    sends markers only if other writers hide the mutation: the first after about three checks, then at most one every
    20 seconds for all sensors of a triggerer that wait for the same index over the same connection. A single writer
    needs none.

    While it waits, the sensor logs what the index shows, what is missing and which option would help. The only value
    that it pushes to XCom is the address of the task's link. A retry starts the wait again. After ``timeout`` the
    sensor fails without retries, as Airflow's sensors do.

    ``soft_fail`` skips the task after a timeout only. A wrong token, a missing index or a wrong argument still fails
    the task.

    :param mutation: What to wait for: the return value of a load, a deletion, a metadata index operator or a write
        method of the hook; a mutation id together with ``index_name``; a list of these, such as the output of mapped
        loads; or an operator, which stands for its output. (templated)
    :param index_name: Name of the index, required for bare mutation ids. A bare id is assumed to have been written to
        the index as the sensor finds it. (templated)
    :param marker: Kind of marker that the sensor may send. ``delete`` (default): a deletion of an id that does not
        exist. ``vector``: a vector with an id ``airflow-marker-…`` in the namespace ``airflow-marker``, which is
        deleted as soon as it has been read back. It is faster if others write ten times a second or more. ``none``: no
        markers, so the wait may last as long as others write.
    :param proof: ``log`` (default): wait for proof. ``read_back``: also accept as evidence that sample vectors of the
        receipt read back as they were sent, three times in a row. Evidence can be wrong, because an earlier write may
        have sent the same vectors. The sensor never falls back from proof to evidence on its own.
    :param deferrable: Wait in the triggerer without occupying a worker slot. Default: the setting
        ``[operators] default_deferrable`` of the deployment.
    :param poke_interval: Seconds between two checks, of one request each. Default: 5.
    :param vectorize_conn_id: Connection to Vectorize. (templated)
    :raises AirflowSensorTimeout: The mutations were not visible within ``timeout`` seconds. The message says what was
        missing.
    :raises AirflowTaskTimeout: The mutations were not visible within ``execution_timeout``, which includes the time
        that the task is deferred.
    :raises AirflowFailException: The mutations can never become visible, because the index was deleted or re-created.
        Or an argument, the connection or the credentials are wrong.
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
        self.mutation = _replace_operators(mutation)
        self.index_name = index_name
        self.marker = marker
        self.proof = proof
        self.vectorize_conn_id = vectorize_conn_id
        self.deferrable = deferrable
        self._last_text = ""
        self.check_literals()

    # ---------------------------------------------------------------- what the sensor waits for

    @cached_property
    def _waits(self) -> list[Wait]:
        waits = waits_for(self.mutation, self.index_name)
        if self._is_stateless and len(waits) > 1:
            raise ConfigError(
                "mode='reschedule' remembers nothing between two pokes, but the sensor has to remember what it has "
                f"seen to prove that {len(waits)} mutations are visible. Use deferrable=True or mode='poke'."
            )
        if self.proof == "read_back" and not all(wait.samples for wait in waits):
            raise ConfigError(
                "proof='read_back' compares sample vectors, but not every mutation has any. Pass receipts of loads or "
                "deletions, or use proof='log'."
            )
        return waits

    @property
    def mutation_label(self) -> str:
        """Name of a mapped sensor in Airflow's UI: the index and what was written to it."""
        return f"{_index_names(self._waits)}: {describe_writes(self._waits)}" if self._waits else "nothing"

    @property
    def _is_stateless(self) -> bool:
        """Whether each poke runs in a new process, which does not know what earlier pokes have seen."""
        return bool(self.reschedule) and not self.deferrable

    @cached_property
    def _monitors(self) -> dict[str, tuple[IndexMonitor, WaitRequest]]:
        """A monitor for each index, with what the sensor asks of it."""
        settings = read_connection(VectorizeHook(self.vectorize_conn_id).connection())
        waits_by_index: dict[str, list[Wait]] = {}
        for wait in self._waits:
            waits_by_index.setdefault(wait.index_name, []).append(wait)
        marker: MarkerKind = "none" if self._is_stateless else self.marker
        return {
            name: (build_monitor(settings, name), WaitRequest(tuple(waits), marker, self.proof))
            for name, waits in waits_by_index.items()
        }

    # ---------------------------------------------------------------- Airflow's methods

    def execute(self, context: Context) -> Any:
        """Wait in the triggerer if the sensor is deferrable, otherwise in this process.

        :raises AirflowSensorTimeout: The mutations were not visible within ``timeout`` seconds.
        :raises AirflowFailException: The mutations can never become visible, or the connection, the credentials or an
            argument is wrong.
        """
        has_link = self.do_xcom_push and "ti" in context
        if has_link:
            # Airflow reads the link when the task ends, and logs an error if the value is missing.
            context["ti"].xcom_push(key=INDEX_LINK, value="")
        with fail_without_retries():
            waits = self._waits  # raises an error for a wrong argument before any request is sent
            if not waits:
                self.log.info("Nothing was written, so there is nothing to wait for.")
                return
            if has_link:
                push_index_link(context, self.vectorize_conn_id, waits[0].index_name)
        if self.marker != "none":
            names = [wait.index_name for wait in waits]
            warn_if_watched(context, self.vectorize_conn_id, names, markers=True)
        if self.deferrable:
            self._defer(waits)
        self.log.info("Waiting for %s in %s.", describe_writes(waits), _index_names(waits))
        try:
            super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(f"{error} {self._last_text}".strip()) from None
        except AirflowSkipException as skip:
            self._skip_or_fail(skip)

    def poke(self, context: Context) -> bool:
        """Check once whether all mutations are visible.

        :raises AirflowFailException: The mutations can never become visible, or the connection, the credentials or an
            argument is wrong.
        """
        try:
            verdicts = self._check()
        except (ConfigError, TerminalApiError) as error:
            raise AirflowFailException(str(error)) from error
        failure = next((verdict.failure for verdict in verdicts if verdict.failure), "")
        if failure:
            raise AirflowFailException(failure)
        self._last_text = " ".join(verdict.text for verdict in verdicts)
        self.log.info("%s", self._last_text)
        return all(verdict.visible for verdict in verdicts)

    def _check(self) -> list[Verdict]:
        verdicts = self._check_once()
        if self._is_stateless:
            for _ in range(CONFIRMING_CHECKS - 1):
                if any(verdict.unconfirmed for verdict in verdicts):
                    verdicts = self._check_once()
            if any(verdict.needs_marker for verdict in verdicts):
                raise ConfigError(
                    "Other writers hide the mutation, and only a marker can prove that it is visible. "
                    "mode='reschedule' cannot wait for one, because it remembers nothing between two pokes. Use "
                    f"deferrable=True or mode='poke'. {' '.join(verdict.text for verdict in verdicts)}"
                )
        return verdicts

    def _check_once(self) -> list[Verdict]:
        return [monitor.check({"sensor": request})[0]["sensor"] for monitor, request in self._monitors.values()]

    def _defer(self, waits: Sequence[Wait]) -> None:
        seconds = min(float(self.timeout), self._execution_timeout_seconds())
        deadline = time.time() + seconds
        self.log.info(
            "Waiting in the triggerer for %s in %s, until %s at the latest. A triggerer has to be running.",
            describe_writes(waits),
            _index_names(waits),
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
        """End the task with the result of the trigger.

        :raises AirflowSensorTimeout: The mutations were not visible within ``timeout`` seconds.
        :raises AirflowTaskTimeout: The mutations were not visible within ``execution_timeout``.
        :raises AirflowFailException: The wait failed, or the event is unknown.
        """
        status, text = (event or {}).get("status"), (event or {}).get("text", "")
        if status == "visible":
            self.log.info("%s", text)
            return
        self.log.error("%s", text)
        if status == "timeout":
            if self._execution_timeout_seconds() < float(self.timeout):
                raise AirflowTaskTimeout(f"Not visible within execution_timeout ({self.execution_timeout}). {text}")
            raise AirflowSensorTimeout(f"Not visible after {self.timeout:.0f} s. {text}")
        raise AirflowFailException(text or f"The trigger ended with an unknown event: {event!r}")

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task after the deferral. ``soft_fail`` applies to a timeout only."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException as skip:
            self._skip_or_fail(skip)

    def _execution_timeout_seconds(self) -> float:
        limit: timedelta | None = self.execution_timeout
        return limit.total_seconds() if limit else float("inf")

    def _skip_or_fail(self, skip: AirflowSkipException) -> None:
        """Fail the task instead of skipping it if a longer wait cannot help. ``never_fail`` still skips it."""
        cause = skip.__cause__
        if isinstance(cause, AirflowFailException) and not self.never_fail:
            raise AirflowFailException(str(cause)) from cause.__cause__
        self.log.warning("Skipping the task. %s %s", cause or skip, self._last_text)
        raise skip


def _replace_operators(mutation: Any) -> Any:
    """Replace each operator by its output, also in lists. Return any other value unchanged."""
    if isinstance(mutation, (list, tuple)):
        return [_replace_operators(element) for element in mutation]
    if isinstance(mutation, Mapping) or not hasattr(mutation, "output"):
        return mutation
    return mutation.output


def _index_names(waits: Sequence[Wait]) -> str:
    names = list(dict.fromkeys(f'"{wait.index_name}"' for wait in waits))
    return f"{'index' if len(names) == 1 else 'indexes'} {', '.join(names)}"
