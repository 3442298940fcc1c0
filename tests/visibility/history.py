"""An engine of the local Vectorize that keeps every state of every index, including deleted indexes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.engine import Engine
from airflow_provider_vectorize.local.engine.index_state import IndexState
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import IndexDeleted, IndexNotFound
from airflow_provider_vectorize.local.engine.records import (
    FoldedBatch,
    Index,
    Kind,
    Match,
    Mutation,
    NewIndex,
    QueryRequest,
    Vector,
)

#: Seconds that exceed the length of any test. Deleted vectors stay readable for this time.
FOREVER = 10**9


class VirtualClock(Clock):
    """A clock that returns the time of the world plus the skew of one machine."""

    def __init__(self, world_time: Callable[[], float], skew: float = 0.0) -> None:
        super().__init__()
        self.world_time = world_time
        self.shift = skew

    def now(self) -> float:
        return self.world_time() + self.shift


@dataclass
class Incarnation:
    """The authoritative state of an index from its creation to its deletion.

    :param index: The index as in the catalog.
    :param log: Every acknowledged mutation, in log order.
    :param applied: Number of mutations in the log that are applied, counted from the first.
    :param deleted: Whether the index was deleted.
    """

    index: Index
    log: list[Mutation] = field(default_factory=list)
    applied: int = 0
    deleted: bool = False


@dataclass(frozen=True)
class _State:
    """What an index name refers to since a given time: a batch of an incarnation, or no index after a deletion."""

    since: float
    index: Index | None
    batch: int


class HistoryEngine(Engine):
    """Answers reads from the state ``lag`` seconds ago. Processes mutations only when :meth:`fold` is called."""

    def __init__(self, data: Path, limits: Limits, clock: VirtualClock) -> None:
        super().__init__(data, limits=limits, lag=FOREVER, clock=clock, sync=False)
        self.lag = 0.0
        self.incarnations: dict[str, list[Incarnation]] = defaultdict(list)
        self._world_time = clock.world_time
        self._states_of: dict[str, list[_State]] = defaultdict(list)

    # Changes of an index

    def create_index(self, account: str, new: NewIndex) -> Index:
        index = super().create_index(account, new)
        self.incarnations[index.name].append(Incarnation(index))
        self._record_state(index.name, index, 0)
        return index

    def delete_index(self, account: str, name: str) -> None:
        # The state stays readable, because a replica may still answer from it.
        self.catalog.delete_index(self.catalog.index(account, name))
        self.incarnations[name][-1].deleted = True
        self._record_state(name, None, 0)

    def _log(self, index: Index, kind: Kind, vectors: Sequence[Vector] = (), argument: str = "") -> Mutation:
        mutation = super()._log(index, kind, vectors, argument)
        self.incarnations[index.name][-1].log.append(mutation)
        return mutation

    def fold(self, name: str, mutations: int | None) -> FoldedBatch | None:
        """Run one job: apply the oldest pending mutations of the newest incarnation.

        :param mutations: Maximum number of mutations to apply. ``None`` applies all.
        :return: The applied batch. ``None`` if nothing is pending or the index does not exist.
        """
        newest = self.incarnations[name][-1] if self.incarnations[name] else None
        if newest is None or newest.deleted:
            return None
        folded = self.folding.process(newest.index, 1, mutations=mutations)
        if not folded:
            return None
        newest.applied += len(folded[0].mutation_ids)
        self._record_state(name, newest.index, folded[0].batch)
        return folded[0]

    def _record_state(self, name: str, index: Index | None, batch: int) -> None:
        self._states_of[name].append(_State(self._world_time(), index, batch))

    # Reads from a replica

    def _state(self, name: str) -> _State:
        states = self._states_of[name]
        if self.lag > 0:
            states = [state for state in states if state.since <= self._world_time() - self.lag]
        if not states:
            raise IndexNotFound(name)
        if states[-1].index is None:
            raise IndexDeleted(name)
        return states[-1]

    def get_index(self, account: str, name: str) -> Index:
        index = self._state(name).index
        assert index is not None
        return index

    def list_indexes(self, account: str) -> list[Index]:
        indexes = []
        for name in list(self._states_of):
            try:
                indexes.append(self.get_index(account, name))
            except (IndexNotFound, IndexDeleted):
                continue
        return indexes

    def query(self, account: str, name: str, request: QueryRequest, *, stale: bool = False) -> list[Match]:
        return super().query(account, name, request, stale=self.lag > 0)

    def _for_reading(self, account: str, name: str, stale: bool) -> tuple[Index, IndexState, int]:
        index = self.get_index(account, name)
        return index, self.states.get(index), self._state(name).batch
