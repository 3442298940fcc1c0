"""How a source is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from airflow_provider_vectorize.api.limits import LIMITS, Limits
from airflow_provider_vectorize.api.models import Operation, UnparsableBehavior
from airflow_provider_vectorize.load.dead_letters import DeadLetters
from airflow_provider_vectorize.parameters import (
    Check,
    flag,
    instance_of,
    one_of,
    whole_number,
)
from airflow_provider_vectorize.rows.validation import FLOAT32_TEXT, VALIDATION, Float32Text, Validation

OnBadRow = Literal["fail", "dead_letter"]

#: Checks of the parameters of a load, by name.
LOAD_CHECKS: Mapping[str, Check] = {
    "operation": one_of(*get_args(Operation)),
    "validation": VALIDATION,
    "float32_text": FLOAT32_TEXT,
    "unparsable_behavior": one_of(*get_args(UnparsableBehavior)),
    "on_bad_row": one_of(*get_args(OnBadRow)),
    "max_bad_rows": whole_number(0),
    "max_in_flight": whole_number(1),
    "durable": flag,
    "limits": instance_of(Limits),
}


@dataclass(frozen=True)
class LoadOptions:
    """How a source is loaded.

    :param validation: how closely rows are looked at, see :func:`~.checks.choose_check`.
    :param float32_text: whether values are rewritten as shorter text, likewise.
    :param unparsable_behavior: ``error``: a line that is no vector in JSON is a bad row like any other.
        ``discard``: it is dropped, counted and written down. Vectorize itself would not say what it dropped,
        so it is never asked to.
    :param dead_letters: bad rows are written there; without it the first one fails the load.
    :param max_bad_rows: with more bad rows than this the load fails all the same.
    :param max_in_flight: requests under way at a time, 1 or more.
    :param limits: Cloudflare's limits.
    """

    validation: Validation = "full"
    float32_text: Float32Text = "auto"
    unparsable_behavior: UnparsableBehavior = "error"
    dead_letters: DeadLetters | None = None
    max_bad_rows: int = 1_000
    max_in_flight: int = 4
    limits: Limits = LIMITS
