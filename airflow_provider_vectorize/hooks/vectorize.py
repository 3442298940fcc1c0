"""The hook: the Python interface of the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_vectorize import provider_info
from airflow_provider_vectorize.airflow_support.task_state import current_context, is_retry
from airflow_provider_vectorize.airflow_support.watching import warn_if_watched
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import AuthError, ConfigError, VectorizeError
from airflow_provider_vectorize.hooks.check import Checks
from airflow_provider_vectorize.hooks.connection import build_client, read_connection
from airflow_provider_vectorize.hooks.missing_connection import environment_variable_problem, missing_connection
from airflow_provider_vectorize.hooks.switch_over import SwitchOvers
from airflow_provider_vectorize.quantities import pluralize


class VectorizeHook(Checks, SwitchOvers, BaseHook):
    """Call Cloudflare Vectorize: one method for each endpoint, :meth:`load`, :meth:`sync`, :meth:`check` and
    :meth:`plan`.

    Every method raises a :class:`~airflow_provider_vectorize.errors.VectorizeError`. Transient failures are retried
    for as long as the connection specifies.

    :param vectorize_conn_id: Airflow connection of the type ``vectorize``. Its password is the API token (or the
        Global API key, with the e-mail address as login). Its extra fields hold ``account_id``. Its host is the API
        base URL, by default that of Cloudflare.
    :param limits: Limits of the account, if they differ from Cloudflare's standard limits.
    :param context: Context of the running task. By default the hook asks Airflow for it. From the second attempt of a
        task on, the first write waits for ``limits.late_seconds``.
    """

    conn_name_attr: ClassVar[str] = "vectorize_conn_id"
    default_conn_name: ClassVar[str] = "vectorize_default"
    conn_type: ClassVar[str] = provider_info.CONNECTION_TYPE
    hook_name: ClassVar[str] = provider_info.HOOK_NAME

    def __init__(
        self,
        vectorize_conn_id: str = default_conn_name,
        *,
        limits: Limits = LIMITS,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._context = context
        self.vectorize_conn_id = vectorize_conn_id
        self.limits = limits

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the standard fields of the form. Only Airflow before 3.2 calls this."""
        return {key.replace("-", "_"): value for key, value in provider_info.UI_FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the form. Only Airflow before 3.2 calls this."""
        # These packages are installed only with the web server of Airflow 2.
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # noqa: PLC0415
        from wtforms import BooleanField, StringField  # noqa: PLC0415

        return {
            name: BooleanField(field["label"], description=field["description"], default=True)
            if "boolean" in field["schema"]["type"]
            else StringField(field["label"], description=field["description"], widget=BS3TextFieldWidget())
            for name, field in provider_info.CONN_FIELDS.items()
        }

    def get_conn(self) -> VectorizeClient:
        """Return a new client. Close it, or use it in a ``with`` statement.

        :raises ConfigError: The connection does not exist, or one of its fields is wrong.
        """
        client = build_client(read_connection(self.connection()), limits=self.limits)
        if is_retry(self._context):
            client.late.add_abandoned()
        return client

    def _about_to_write(self, index_name: str) -> None:
        """Log a warning if this task writes to an index whose watcher started its DAG."""
        if self._context is None:  # Operators pass their context, and warn themselves.
            warn_if_watched(current_context(), self.vectorize_conn_id, [index_name])

    def test_connection(self) -> tuple[bool, str]:
        """List the indexes of the account once, without retries. This proves that the token may read them.

        :return: Whether the request succeeded, and the message for the user. The message contains no secret.
        """
        warnings: tuple[str, ...] = ()
        try:
            settings = read_connection(self.connection())
            warnings = settings.warnings
            with build_client(settings, retry=RetryPolicy(total=0)) as client:
                indexes = client.list_indexes()
        except AuthError as error:
            return False, " ".join((f"Cloudflare refuses the credentials. {error.message}", *warnings))
        except VectorizeError as error:
            return False, " ".join((error.message, *warnings))
        names = ", ".join(index.name for index in indexes[:5]) + (", …" if len(indexes) > 5 else "")
        count = pluralize(len(indexes), "index", "indexes")
        message = f"Connected. The account has {count}{': ' if names else '.'}{names}"
        return True, " ".join((message.rstrip(".") + ".", *warnings)) if warnings else message

    def connection(self) -> Any:
        """Return the Airflow connection.

        :raises ConfigError: The connection does not exist, or its environment variable cannot be read.
        """
        try:
            connection = self.get_connection(self.vectorize_conn_id)
        except AirflowNotFoundException:
            raise missing_connection(self.vectorize_conn_id) from None
        # Airflow accepts any text as a URI and then returns a connection without a type.
        problem = "" if connection.conn_type else environment_variable_problem(self.vectorize_conn_id)
        if problem:
            del connection  # A traceback with local variables would show its secrets.
            raise ConfigError(problem)
        return connection
