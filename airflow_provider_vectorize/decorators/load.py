"""``@task.vectorize_upsert``: a function that yields rows becomes a task that loads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import (
    Context,
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_vectorize.operators.base import fail_at_once
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.rows.function_rows import write_rows_file

_UPSERT_FIELDS = tuple(name for name in VectorizeUpsertOperator.template_fields if not name.startswith("source"))


class VectorizeUpsertDecoratedOperator(DecoratedOperator, VectorizeUpsertOperator):
    """Upsert the rows that a Python function yields. They never go through XCom.

    The function runs first, in the task's main thread, and its rows are written to a temporary file, one at a time;
    then the file is loaded as any other is. So nothing is sent if the function fails, memory does not grow with the
    rows, and the disk has to have room for all of them. A retry calls the function again and starts over, which is
    safe. All parameters, the receipt and the errors are those of :class:`VectorizeUpsertOperator`, without ``source``,
    ``source_conn_id`` and ``durable``.

    :param python_callable: yields or returns rows: dicts with ``id``, ``values``, perhaps ``namespace`` and
        ``metadata``. NumPy arrays and scalars may stand wherever JSON has numbers; see
        :func:`~airflow_provider_vectorize.rows.encoding.encode_row` for the other types. A row that holds NaN or an
        infinity is a bad row. Messages name a row by the function and its number: "row 17 that `embed()` yielded".
    :param op_args: its arguments. (templated)
    :param op_kwargs: its keyword arguments. (templated)
    :raises ConfigError: what it yields are no rows.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *_UPSERT_FIELDS)
    custom_operator_name = "@task.vectorize_upsert"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            source="",
            source_conn_id=None,
            durable=False,  # what the function yields the next time need not be the same
            **kwargs,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the function, write its rows down, load them, and return the receipt."""
        context_merge(context, self.op_kwargs)
        arguments = determine_kwargs(self.python_callable, self.op_args, context)
        with self.on_index(context):  # wrong settings show before the function runs
            rows = self.python_callable(*self.op_args, **arguments)
        with fail_at_once(), write_rows_file(rows, self.python_callable.__name__) as self.source:
            # Not DecoratedOperator's, which would call the function once more.
            return VectorizeUpsertOperator.execute(self, context)


def vectorize_upsert_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool = True, **kwargs: Any
) -> TaskDecorator:
    """What Airflow calls for ``@task.vectorize_upsert``.

    :param python_callable: the function.
    :param multiple_outputs: push each key of the receipt on its own, too.
    :param kwargs: the operator's parameters.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=VectorizeUpsertDecoratedOperator,
        **kwargs,
    )
