"""The options of a sync."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.load.options import LOAD_CHECKS, LoadOptions
from airflow_provider_vectorize.parameters import Check, flag, optional, path, text
from airflow_provider_vectorize.sync.decisions import parse_max_deletes

_CHANGED_BY = re.compile(r"row|metadata(\.[^.]+)+")


def changed_by(name: str, value: Any) -> str:
    """Return what tells whether a row has changed.

    :raises ConfigError: The value is neither ``row`` nor ``metadata.<key>``.
    """
    if not (isinstance(value, str) and _CHANGED_BY.fullmatch(value)):
        raise ConfigError(f"{name} must be 'row' or 'metadata.<key>', such as 'metadata.updated_at', not {value!r}.")
    return value


#: Checks of the parameters of a sync, by parameter name.
SYNC_CHECKS: Mapping[str, Check] = {
    "state": path,
    "delete_vanished": flag,
    "max_deletes": parse_max_deletes,
    "approve": optional(text, empty_is_none=True),
    "changed_by": changed_by,
    "reconcile": flag,
    "report_foreign": flag,
    "dry_run": flag,
    **{
        name: LOAD_CHECKS[name]
        for name in (
            "float32_text",
            "unparsable_behavior",
            "on_bad_row",
            "max_bad_rows",
            "max_in_flight",
            "processes",
            "limits",
            "format",
            "fields",
        )
    },
}


@dataclass(frozen=True)
class SyncOptions:
    """The options of a sync.

    :param delete_vanished: Whether to delete vectors that have left the source. Default: no.
    :param max_deletes: The brake: a share of the known IDs or a number of IDs. Default: a tenth.
    :param approve: ID of a plan that is approved, or ``None``.
    :param changed_by: ``row`` (default), or ``metadata.<key>`` to compare only this key.
    :param reconcile: Whether to distrust all hashes, and send everything again.
    :param report_foreign: Whether to list the index, and write down the IDs that the sync does not know.
    :param dry_run: Whether to write nothing.
    :param parameters: Other parameters that shape rows. If one of them changes, no object is skipped.
    :param load: Options that a sync shares with a load.
    """

    delete_vanished: bool = False
    max_deletes: float | int = 0.1
    approve: str | None = None
    changed_by: str = "row"
    reconcile: bool = False
    report_foreign: bool = False
    dry_run: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    load: LoadOptions = field(default_factory=LoadOptions)
