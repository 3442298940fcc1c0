"""The store of a pointer in an Airflow Variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow.providers.common.compat.sdk import Variable

from airflow_provider_vectorize.errors import SwitchOverError


@dataclass(frozen=True)
class VariablePointerStore:
    """A pointer in an Airflow Variable. It can be used only inside a task.

    :param name: Name of the Variable.
    """

    name: str

    @property
    def uri(self) -> str:
        """URI that identifies the pointer."""
        return f"variable://{self.name}"

    def read(self) -> bytes | None:
        """Return the value, or ``None`` if the Variable does not exist.

        :raises SwitchOverError: Airflow cannot read it. A retry is safe.
        """
        try:
            value: Any = Variable.get(self.name, None)
        except Exception as error:
            raise self._failed("read", error) from error
        return None if value is None else str(value).encode()

    def write(self, value: bytes, check: Callable[[], None] = lambda: None) -> None:
        """Create or replace the value.

        :param check: Called before the value is written.
        :raises SwitchOverError: Airflow cannot write it. A retry is safe.
        """
        check()
        try:
            Variable.set(self.name, value.decode())
        except Exception as error:
            raise self._failed("written", error) from error

    def _failed(self, action: str, error: Exception) -> SwitchOverError:
        return SwitchOverError(
            f"The Airflow Variable {self.name} cannot be {action}: {type(error).__name__}. Check that Airflow's API "
            "server and database answer. Outside of a task, use another kind of pointer.",
            pointer=self.uri,
            permanent=False,
        )
