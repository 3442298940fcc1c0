"""Base classes and helpers of the operators and the sensor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, Context

from airflow_provider_vectorize.airflow_support.lineage import IndexOperation, operation_lineage
from airflow_provider_vectorize.airflow_support.watching import warn_if_watched
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import INDEX_LINK, VectorizeIndexLink, index_url
from airflow_provider_vectorize.parameters import Check, is_lazy, resolved_later, text

#: Whether Airflow can push None to XCom. 3.0 fails the task instead (apache/airflow#55062), and a result can have None.
PUSHES_NONE = not airflow_version.startswith("3.0.")


@contextmanager
def fail_without_retries() -> Iterator[None]:
    """Turn an error that a retry cannot fix into an exception after which Airflow does not retry the task.

    :raises AirflowFailException: The block raised an error whose :attr:`~VectorizeError.permanent` is set. The message
        is the same, and the error is the cause.
    """
    try:
        yield
    except VectorizeError as error:
        if not error.permanent:
            raise
        raise AirflowFailException(str(error)) from error


def push_index_link(context: Mapping[str, Any], vectorize_conn_id: str, index_name: str) -> None:
    """Push the URL of the index for the link on the task's page. No request is sent.

    :raises ConfigError: The connection does not exist, or one of its fields is wrong.
    """
    with VectorizeHook(vectorize_conn_id).get_conn() as client:
        url = index_url(client.credentials.base_url, client.credentials.account_id, index_name)
    context["ti"].xcom_push(key=INDEX_LINK, value=url)


def pushing_keys(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return an ``execute`` that also pushes each key of its result that has a value, in place of Airflow."""

    @functools.wraps(execute)
    def push(self: Any, context: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        result = execute(self, context, *args, **kwargs)
        if self.multiple_outputs and self.do_xcom_push and "ti" in context:
            self.multiple_outputs = False  # Airflow pushes only the whole result.
            for key, value in result.items():
                if value is not None:
                    context["ti"].xcom_push(key=key, value=value)
        return result

    return push


class CheckedTask:
    """Mixin of the operators and the sensor: parameter checks and template rendering.

    It stands before Airflow's base class.
    """

    #: Checks of parameters, by name. Literal values are checked when the DAG is parsed, all others when the task runs.
    parameter_checks: ClassVar[Mapping[str, Check]] = {}
    #: Template of the names of mapped tasks in Airflow's pages, unless the DAG sets ``map_index_template``.
    default_map_index_template: ClassVar[str | None] = None
    #: Whether the task sends mutations to the index.
    writes_mutations: ClassVar[bool] = False

    vectorize_conn_id: str
    do_xcom_push: bool
    multiple_outputs: bool

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the operator push the keys of its result itself where Airflow cannot."""
        super().__init_subclass__(**kwargs)
        if not PUSHES_NONE and "execute" in vars(cls):
            cls.execute = pushing_keys(cls.execute)  # type: ignore[attr-defined]

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check the literal parameters of a mapped task, and set its default name.

        :raises ConfigError: A literal parameter is wrong.
        """
        _check_literals(cls.parameter_checks, kwargs)
        partial = super().partial(**kwargs)  # type: ignore[misc]
        if partial.kwargs.get("map_index_template") is None:
            partial.kwargs["map_index_template"] = cls.default_map_index_template
        return partial

    def check_literals(self) -> None:
        """Check literal parameters. Constructors call this last.

        Airflow constructs a mapped task only when it runs. Its parameters are then checked a moment later, in
        :meth:`checked_execution`, so that the task fails without retries.

        :raises ConfigError: A literal parameter is wrong.
        """
        if not getattr(self, "_BaseOperator__from_mapped", False):
            _check_literals(self.parameter_checks, vars(self))

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render a template field. The lazy output of mapped tasks becomes a list, which the task's page can show."""
        rendered = super().render_template(content, *args, **kwargs)  # type: ignore[misc]
        return list(rendered) if is_lazy(rendered) else rendered

    @contextmanager
    def checked_execution(self, context: Mapping[str, Any]) -> Iterator[None]:
        """Check the parameters before the block runs.

        :raises AirflowFailException: A parameter is wrong, or the block raised an error that a retry cannot fix.
        """
        with fail_without_retries():
            text("vectorize_conn_id", self.vectorize_conn_id)
            for name, check in self.parameter_checks.items():
                check(name, getattr(self, name))
            yield


class IndexTask(CheckedTask):
    """Mixin of the tasks of one index, whose pages have a link to it. It stands before Airflow's base class."""

    operator_extra_links: Any = (VectorizeIndexLink(),)

    index_name: Any
    do_xcom_push: bool

    @contextmanager
    def checked_execution(self, context: Mapping[str, Any]) -> Iterator[None]:
        """Check the parameters and push the link to the index before the block runs.

        The link therefore exists while the task runs and after it failed.

        :raises AirflowFailException: A parameter is wrong, or the block raised an error that a retry cannot fix.
        """
        with fail_without_retries():
            text("index_name", self.index_name)
        with super().checked_execution(context):
            if self.do_xcom_push and "ti" in context:
                push_index_link(context, self.vectorize_conn_id, self.index_name)
            if self.writes_mutations:
                warn_if_watched(context, self.vectorize_conn_id, [self.index_name])
            yield


def _check_literals(checks: Mapping[str, Check], values: Mapping[str, Any]) -> None:
    for name, check in checks.items():
        if name in values and not resolved_later(values[name]):
            check(name, values[name])


class WritingOperator(BaseOperator):
    """Base of operators that write with a single client, which is stopped when the task is killed."""

    index_name: Any = None  #: ``None`` if the task changes indexes that it finds itself.
    vectorize_conn_id: str
    limits: Limits = LIMITS
    _client: VectorizeClient | None = None
    _operation: IndexOperation | None = None

    def open_client(self, context: Context) -> VectorizeClient:
        """Return a new client. From the second attempt on, its first write waits for late requests."""
        hook = VectorizeHook(self.vectorize_conn_id, limits=self.limits, context=context)
        self._client = hook.get_conn()
        if self.index_name:
            self._operation = IndexOperation(self._client.credentials.account_id, self.index_name)
        return self._client

    def record_operation(self, **facts: Any) -> IndexOperation:
        """Record for lineage what the task did, and return it.

        :param facts: Fields of :class:`~.airflow_support.lineage.IndexOperation`.
        """
        assert self._operation is not None
        self._operation = replace(self._operation, **facts)
        return self._operation

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the index, what happened to it, and the objects that were read."""
        return operation_lineage(self._operation) if self._operation else None

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the index that the task was about to change, and the objects that were read."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def on_kill(self) -> None:
        """Abort the requests and waits of the client."""
        if self._client is not None:
            self._client.stop()
