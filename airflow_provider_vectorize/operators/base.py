"""What all operators and the sensor have in common as tasks of Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, Context

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import INDEX_LINK, VectorizeIndexLink, index_url
from airflow_provider_vectorize.parameters import Check, is_lazy, resolved_later, text


@contextmanager
def fail_at_once() -> Iterator[None]:
    """Turn errors that retries cannot fix into one for which Airflow makes no retries.

    :raises AirflowFailException: with the same text, caused by an error whose :attr:`~VectorizeError.permanent` is set.
    """
    try:
        yield
    except VectorizeError as error:
        if not error.permanent:
            raise
        raise AirflowFailException(str(error)) from error


def push_index_link(context: Mapping[str, Any], vectorize_conn_id: str, index_name: str) -> None:
    """Leave the address of the index for the link on the task's page. No request is sent.

    :raises ConfigError: the connection is wrong.
    """
    with VectorizeHook(vectorize_conn_id).get_conn() as client:
        url = index_url(client.credentials.base_url, client.credentials.account_id, index_name)
    context["ti"].xcom_push(key=INDEX_LINK, value=url)


class IndexTask:
    """Mixed into the operators and the sensor, before Airflow's base class."""

    operator_extra_links: Any = (VectorizeIndexLink(),)
    #: Checks of parameters, by name. Literal values are checked when the DAG is parsed.
    parameter_checks: ClassVar[Mapping[str, Check]] = {}
    #: The names of mapped tasks in Airflow's pages, unless the DAG has a ``map_index_template``.
    default_map_index_template: ClassVar[str | None] = None

    index_name: Any
    vectorize_conn_id: str
    do_xcom_push: bool

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin a mapped task, with its literal parameters checked and a readable name by default.

        :raises ConfigError: a literal parameter is wrong.
        """
        _check_literals(cls.parameter_checks, kwargs)
        partial = super().partial(**kwargs)  # type: ignore[misc]
        if partial.kwargs.get("map_index_template") is None:
            partial.kwargs["map_index_template"] = cls.default_map_index_template
        return partial

    def check_literals(self) -> None:
        """Check literal parameters, at the end of the constructor.

        Airflow constructs each of several mapped tasks when it runs. What they are mapped over is checked a moment
        later, in :meth:`on_index`, so that they fail without retries.

        :raises ConfigError: one is wrong.
        """
        if not getattr(self, "_BaseOperator__from_mapped", False):
            _check_literals(self.parameter_checks, vars(self))

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render a template field. The output of mapped tasks becomes a list, which the task's page can show."""
        rendered = super().render_template(content, *args, **kwargs)  # type: ignore[misc]
        return list(rendered) if is_lazy(rendered) else rendered

    @contextmanager
    def on_index(self, context: Mapping[str, Any]) -> Iterator[None]:
        """Run the task: first the link to the index, so that it is there while the task runs and after it failed.

        :raises AirflowFailException: for errors that retries cannot fix.
        """
        with fail_at_once():
            text("index_name", self.index_name)
            text("vectorize_conn_id", self.vectorize_conn_id)
            for name, check in self.parameter_checks.items():
                check(name, getattr(self, name))
            if self.do_xcom_push and "ti" in context:
                push_index_link(context, self.vectorize_conn_id, self.index_name)
            yield


def _check_literals(checks: Mapping[str, Check], values: Mapping[str, Any]) -> None:
    for name, check in checks.items():
        if name in values and not resolved_later(values[name]):
            check(name, values[name])


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
