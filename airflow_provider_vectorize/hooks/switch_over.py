"""Switch readers from one index to another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_vectorize import parameters, storage
from airflow_provider_vectorize.airflow_support.variables import VariablePointerStore
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.hooks.endpoints import Endpoints
from airflow_provider_vectorize.switch_over.decisions import choose_idle_slot
from airflow_provider_vectorize.switch_over.options import SWITCH_OVER_CHECKS
from airflow_provider_vectorize.switch_over.pointer import Pointer, PointerStore, parse_pointer_name, read_pointer
from airflow_provider_vectorize.switch_over.prune import prune_unused
from airflow_provider_vectorize.switch_over.publish import publish_index
from airflow_provider_vectorize.switch_over.stores import KvPointerStore


def open_pointer(client: VectorizeClient, pointer: str) -> PointerStore:
    """Return the store of a pointer.

    :param client: Client of the account. Workers KV is written with its credentials.
    :param pointer: ``kv://NAMESPACE_ID/KEY``, ``variable://NAME``, or the path or URI of an object.
    :raises ConfigError: The value is none of these, or its storage cannot be opened.
    """
    name = parse_pointer_name("pointer", pointer)
    if name.kind == "kv":
        return KvPointerStore(client, name.namespace_id, name.name)
    return VariablePointerStore(name.name) if name.kind == "variable" else storage.StoredValue(name.name)


class SwitchOvers(Endpoints):
    """Methods of the hook that switch readers from one index to another.

    A pointer is one JSON value that readers read: ``index``, ``previous``, ``published_at`` and ``model``. It is
    ``kv://NAMESPACE_ID/KEY`` (Workers KV, with the credentials of the connection), ``variable://NAME`` (an Airflow
    Variable, only inside a task), or the path or URI of an object, which may name its connection.
    """

    def read_pointer(self, pointer: str) -> Pointer | None:
        """Return what a pointer says, or ``None`` if nothing was published yet.

        :raises SwitchOverError: The stored value is not a pointer.
        """
        return read_pointer(open_pointer(self.client, pointer))

    def pick_slot(self, pointer: str, slots: Sequence[str]) -> dict[str, Any]:
        """Return the slot for the next rebuild as ``index_name``, and the index that readers use as ``live``.

        A task can return this dict with ``multiple_outputs=True``.

        :param slots: Names of at least two indexes. The slot is not the live one and, of three or more, not the
            previous one.
        :return: ``live`` is ``None`` if nothing was published yet.
        :raises SwitchOverError: The stored value is not a pointer.
        """
        slots = SWITCH_OVER_CHECKS["slots"]("slots", slots)
        found = self.read_pointer(pointer)
        return {"index_name": choose_idle_slot(found, slots), "live": found.index if found else None}

    def publish(
        self, pointer: str, index_name: str, *, expect: str | None, created_on: str | None = None
    ) -> dict[str, Any]:
        """Make a pointer name an index. See :class:`~.operators.switch_over.VectorizePublishOperator`.

        :return: ``index_name`` and ``previous``.
        """
        values = parameters.check_values(SWITCH_OVER_CHECKS, expect=expect, created_on=created_on)
        return publish_index(self.client, open_pointer(self.client, pointer), index_name, **values)

    def prune_indexes(
        self, prefix: str, *, pointer: str, keep: int = 2, min_age: timedelta | float = timedelta(days=1)
    ) -> list[str]:
        """Delete the old indexes of a pointer. See :class:`~.operators.switch_over.VectorizePruneIndexesOperator`.

        :return: The names of the deleted indexes.
        """
        values = parameters.check_values(SWITCH_OVER_CHECKS, prefix=prefix, keep=keep, min_age=min_age)
        return prune_unused(self.client, open_pointer(self.client, pointer), **values)
