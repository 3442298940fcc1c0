"""What the operators that write a source into an index have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import Context

from airflow_provider_vectorize.airflow_support.lineage import operator_lineage, set_event_extras
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.links.load import (
    DEAD_LETTER_LINK,
    VectorizeDeadLetterLink,
    VectorizeIndexLink,
    object_url,
)
from airflow_provider_vectorize.operators.base import IndexTask
from airflow_provider_vectorize.parameters import paths

#: Maximum length of the name of a mapped task in Airflow.
LABEL_CHARACTERS = 250


class SourceTask(IndexTask):
    """Mixin of the operators that write a source: the hook, links, the asset's event, lineage, and the end of a task.

    It stands before Airflow's base class.
    """

    ui_color = "#fbe0c6"
    operator_extra_links: Any = (VectorizeIndexLink(), VectorizeDeadLetterLink())
    default_map_index_template: ClassVar[str | None] = "{{ task.source_label }}"

    source: Any
    limits: Limits
    outlets: Any
    _hook: VectorizeHook | None = None

    def _open_hook(self, context: Context) -> VectorizeHook:
        """Return the hook that writes the source, which :meth:`on_kill` stops."""
        if self._pushes_to_xcom(context):
            # Airflow reads every link when the task ends, and logs an error if one was not pushed.
            context["ti"].xcom_push(key=DEAD_LETTER_LINK, value="")
        self._hook = VectorizeHook(self.vectorize_conn_id, limits=self.limits, context=context)
        return self._hook

    def _pushes_to_xcom(self, context: Mapping[str, Any]) -> bool:
        return self.do_xcom_push and "ti" in context

    def _publish(self, context: Context) -> None:
        """Push the link to the dead-letter file, and attach the receipt to the events of the index's asset."""
        written = self._hook.loaded if self._hook else None
        if written is None:
            return
        if written.dead_letter_file and self._pushes_to_xcom(context):
            context["ti"].xcom_push(key=DEAD_LETTER_LINK, value=object_url(written.dead_letter_file))
        if self.outlets and "outlet_events" in context:
            set_event_extras(self.outlets, context["outlet_events"], written)

    @property
    def source_label(self) -> str:
        """Return a short name of the source, which names a mapped task in Airflow's pages."""
        return label(self.source)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the objects with their sizes, and the index with its shape and written rows."""
        written = self._hook.loaded if self._hook else None
        return operator_lineage(written) if written else None

    def on_kill(self) -> None:
        """Stop writing. What a retry needs to continue is kept."""
        if self._hook is not None:
            self._hook.stop()


def label(source: Any) -> str:
    """Return the last folder and the name of the first object of a source, and the number of other objects."""
    try:
        names = paths("source", source)
    except ConfigError:  # the load itself reports what is wrong
        return ""
    first = names[0].partition("://")[2] or names[0]
    short = "/".join(first.rpartition("@")[2].strip("/").split("/")[-2:])
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return short[-(LABEL_CHARACTERS - len(more)) :] + more
