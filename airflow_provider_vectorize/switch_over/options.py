"""Checks of the parameters of a switch-over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_vectorize import parameters
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.parameters import Check
from airflow_provider_vectorize.switch_over.pointer import parse_pointer_name


def _slots(name: str, value: Any) -> list[str]:
    slots = parameters.ids(name, value)
    if len(set(slots)) < 2:
        raise ConfigError(f"{name} must name at least two indexes, so that one of them is idle, not {slots}.")
    return slots


def _pointer(name: str, value: Any) -> Any:
    parse_pointer_name(name, value)
    return value


SWITCH_OVER_CHECKS: Mapping[str, Check] = {
    "pointer": _pointer,
    "slots": _slots,
    "expect": parameters.optional(parameters.text),
    "created_on": parameters.optional(parameters.time),
    "prefix": parameters.text,
    "keep": parameters.whole_number(1),
    "min_age": parameters.duration,
}
