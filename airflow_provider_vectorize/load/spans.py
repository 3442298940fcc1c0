"""Spans of OpenTelemetry for a load and its batches, if Airflow records traces.

Airflow installs OpenTelemetry and configures it with ``[traces] otel_on``, which is off by default. Without it, a span
does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

try:
    from opentelemetry import trace
except ImportError:  # not a dependency of this package
    tracer: Any = None
else:
    tracer = trace.get_tracer("airflow_provider_vectorize")


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[Any]:
    """Record the block as a span below the current one. An error that the block raises is also recorded.

    :param name: Name of the span.
    :param attributes: Attributes. ``vectorize.`` is prepended to their names. They must not contain secrets.
    :return: The span, to set attributes that are known only at the end with :func:`describe`.
    """
    if tracer is None:
        yield None
        return
    with tracer.start_as_current_span(name, attributes=_prefixed(attributes)) as current:
        yield current


def describe(current: Any, **attributes: str | int | None) -> None:
    """Set attributes of a span. Those that are ``None`` are left out."""
    if current is not None:
        current.set_attributes(_prefixed({name: value for name, value in attributes.items() if value is not None}))


def _prefixed(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"vectorize.{name}": value for name, value in attributes.items()}
