"""The decorator ``@task.vectorize_upsert``: a task that loads the rows that a function yields."""

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

from airflow_provider_vectorize.operators.base import fail_without_retries
from airflow_provider_vectorize.operators.load import VectorizeUpsertOperator
from airflow_provider_vectorize.rows.function_rows import write_rows_file

_UPSERT_FIELDS = tuple(name for name in VectorizeUpsertOperator.template_fields if not name.startswith("source"))


class VectorizeUpsertDecoratedOperator(DecoratedOperator, VectorizeUpsertOperator):
    """Upsert the rows that a Python function yields. The rows do not go through XCom.

    The function runs first, in the task's main thread. Its rows are written to a temporary file one at a time, and then
    the file is loaded. Nothing is sent if the function fails. Memory use does not grow with the number of rows, but the
    disk needs room for all of them. A retry calls the function again and starts over, which is safe.

    All other parameters, the receipt and the errors are those of :class:`VectorizeUpsertOperator`. The parameters
    ``source``, ``source_conn_id``, ``format`` and ``durable`` do not exist.

    :param python_callable: Function that yields or returns rows: dicts with ``id``, ``values`` and, optionally,
        ``namespace`` and ``metadata``. NumPy arrays and scalars are accepted as numbers. See
        :func:`~airflow_provider_vectorize.rows.encoding.encode_row` for all accepted types. A row that contains NaN or
        an infinity is a bad row. Messages name a row by the function and its number: "row 17 that `embed()` yielded".
    :param op_args: Positional arguments of the function. (templated)
    :param op_kwargs: Keyword arguments of the function. (templated)
    :raises ConfigError: The function yields something other than rows.
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
            format="ndjson",
            durable=False,  # the function may yield other rows when it is called again
            **kwargs,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the function, write its rows to a temporary file, load the file, and return the receipt."""
        context_merge(context, self.op_kwargs)
        arguments = determine_kwargs(self.python_callable, self.op_args, context)
        with self.checked_execution(context):  # wrong parameters fail the task before the function runs
            rows = self.python_callable(*self.op_args, **arguments)
        with fail_without_retries(), write_rows_file(rows, self.python_callable.__name__) as self.source:
            # DecoratedOperator.execute would call the function again.
            return VectorizeUpsertOperator.execute(self, context)


def vectorize_upsert_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool = True, **kwargs: Any
) -> TaskDecorator:
    """Return the decorator. Airflow calls this function for ``@task.vectorize_upsert``.

    :param python_callable: The decorated function.
    :param multiple_outputs: Push each key of the receipt to XCom separately, in addition to the receipt.
    :param kwargs: Parameters of the operator.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=VectorizeUpsertDecoratedOperator,
        **kwargs,
    )
