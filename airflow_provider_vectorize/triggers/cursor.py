"""The cursor of a watcher in Airflow's asset state store (3.3 and newer)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


class Cursor:
    """Stores what a watcher has to know after a restart. A failing store never ends the watcher.

    :param store: ``asset_state_store`` of the trigger. ``None`` before Airflow 3.3: nothing is stored.
    :param key: Key of the cursor. It names the connection and the index, because an asset may have several watchers.
    """

    def __init__(self, store: Any, key: str) -> None:
        self._store = store
        self._key = key
        self._warned = False

    async def load(self) -> Mapping[str, Any] | None:
        """Return the stored cursor, or ``None``."""
        try:
            value = await self._store.aget(self._key) if self._store else None
        except Exception as error:  # noqa: BLE001 - a watcher must not end, whatever error the store raises
            self._warn("read", error)
            return None
        return value if isinstance(value, Mapping) else None

    async def save(self, value: Mapping[str, Any]) -> None:
        """Replace the stored cursor."""
        try:
            if self._store:
                await self._store.aset(self._key, dict(value))
        except Exception as error:  # noqa: BLE001 - a watcher must not end, whatever error the store raises
            self._warn("save", error)

    def _warn(self, action: str, error: Exception) -> None:
        """Log a failure once."""
        if not self._warned:
            log.warning(
                "Could not %s the cursor %s of a watcher. It watches on, but after a restart of the triggerer, changes "
                "that happened meanwhile start no DAG. If two assets have watchers with equal arguments, give one of "
                "them another quiet_for: Airflow runs a single trigger for both, which has no state store of its own. "
                "%s: %s",
                action,
                self._key,
                type(error).__name__,
                error,
            )
        self._warned = True
