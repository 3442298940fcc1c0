"""What happens to the service in a history: lost requests, refused rows, a new index, and other writers."""

from __future__ import annotations

import random
from collections.abc import Collection

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.local.engine.data_problems import InvalidId
from tests.support import DIMENSIONS
from tests.visibility.world import Fate, SentRequest, World

from .inspection import FOREIGN_CONTENT, Inspection
from .sources import ModelRow

INDEX = "docs"
TIMEOUT, LATE_SECONDS = 110.0, 120.0
#: Maximum number of seconds by which a replica lags behind.
MAX_LAG = 15.0


class Service:
    """Vectorize as it is in one history.

    :param world: The local Vectorize on virtual time.
    :param rng: Decides about everything that happens.
    """

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.troubled = True  #: Whether requests get lost.
        self.recreated = False  #: Whether the index was created again since this was set to ``False``.
        #: Whether another writer has changed one of our vectors since this was set to ``False``.
        self.damaged = False
        self.refused: Collection[str] = ()  #: IDs of the rows that Vectorize refuses.
        world.create_index(INDEX, dimensions=DIMENSIONS)
        world.choose_fate = self._fate
        self._run_job()

    def _run_job(self) -> None:
        self._world.fold(INDEX, self._rng.choice([None, 1, 2, 5]))
        self._world.schedule(self._rng.uniform(2, 20), self._run_job)

    def _fate(self, sent: SentRequest) -> Fate:
        rng = self._rng
        if not sent.write:
            lag = rng.uniform(0, MAX_LAG) if sent.operation == "get_by_ids" and rng.random() < 0.3 else 0.0
            return Fate(lag=lag)
        if sent.client != "other" and sent.operation == "upsert" and self._is_refused(sent.message):
            return Fate(carried_out=(), answer=InvalidId())
        if not self.troubled or sent.client == "other" or rng.random() < 0.75:
            return Fate()
        late = TIMEOUT + rng.uniform(0, LATE_SECONDS - 10)
        return rng.choice([
            Fate(carried_out=(0.0,), answer="timeout"),
            Fate(carried_out=(), answer="timeout"),
            Fate(carried_out=(late,), answer="timeout"),
            Fate(carried_out=(0.0,), answer=524),  # The retry carries it out twice.
        ])

    def _is_refused(self, message: bytes) -> bool:
        return any(f'"{name}"'.encode() in message for name in self.refused)

    def recreate(self, inspection: Inspection, ours: Collection[str] = ()) -> None:
        """Create the index again.

        :param ours: IDs that the sync knows and the source lacks. Another writer may fill the new index with one.
        """
        self._world.delete_index(INDEX)
        self._world.create_index(INDEX, dimensions=DIMENSIONS)
        self.recreated = True
        inspection.foreign.clear()
        if ours:
            self.write_foreign(inspection, self._rng.choice(sorted(ours)))

    def write_foreign(self, inspection: Inspection, name: str = "") -> None:
        """Write a vector of another writer.

        :param name: Its ID. Default: one that the sync never has in a good row.
        """
        name, content = name or f"f{self._rng.randrange(3)}", self._rng.choice(FOREIGN_CONTENT)
        self._upsert(name, content)
        inspection.foreign[name] = content

    def damage(self, names: Collection[str]) -> None:
        """Overwrite or delete one of our vectors, as a careless writer does, and wait until everybody can see that."""
        name = self._rng.choice(sorted(names))
        if self._rng.random() < 0.5:
            self._upsert(name, 900)
        else:
            with self._world.client("other", limits=Limits(late_seconds=0)) as client:
                client.delete_by_ids(INDEX, [name])
        self._world.fold(INDEX)
        self._world.advance(2 * MAX_LAG)
        self.damaged = True

    def _upsert(self, name: str, content: int) -> None:
        with self._world.client("other", limits=Limits(late_seconds=0)) as client:
            client.upsert(INDEX, ModelRow("good", name, content).line() + b"\n")
