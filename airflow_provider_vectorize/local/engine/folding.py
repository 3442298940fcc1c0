"""The job that folds the log into the indexes, batch by batch, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_vectorize.local.engine.catalog import Catalog
from airflow_provider_vectorize.local.engine.clock import Clock
from airflow_provider_vectorize.local.engine.index_state import IndexState, States
from airflow_provider_vectorize.local.engine.limits import Limits
from airflow_provider_vectorize.local.engine.problems import IndexDeleted
from airflow_provider_vectorize.local.engine.records import Folded, Index

logger = logging.getLogger(__name__)


class Folder:
    """Folds each index ``lag`` seconds after the oldest of its pending mutations was accepted.

    With a lag of 0 a read first folds what was acknowledged before it, so that tests see their own writes.
    While it is held nothing is folded, except by :meth:`process`.
    """

    def __init__(self, catalog: Catalog, states: States, limits: Limits, clock: Clock, lag: float) -> None:
        self._catalog = catalog
        self._states = states
        self._limits = limits
        self._clock = clock
        self._lag = self._lag_at_start = lag
        self._held = False
        self._stopping = False
        self._changed = threading.Condition()
        self._turn = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="folding", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._set(stopping=True)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def lag(self) -> float:
        return self._lag

    @property
    def held(self) -> bool:
        return self._held

    def set_lag(self, seconds: float) -> None:
        self._set(lag=seconds)

    def reset(self) -> None:
        """As it was at the start."""
        self._set(lag=self._lag_at_start, held=False)

    def hold(self) -> None:
        """Returns when no batch is being folded any more."""
        self._set(held=True)
        with self._turn:
            pass

    def release(self) -> None:
        self._set(held=False)

    def wake(self) -> None:
        self._set()

    def _set(self, **values: object) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, f"_{name}", value)
            self._changed.notify_all()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No batch is folded inside."""
        with self._turn:
            yield

    def process(
        self, index: Index | None = None, batches: int | None = None, *, mutations: int | None = None
    ) -> list[Folded]:
        """Fold now, even while folding is on hold.

        :param index: The only index to fold. Default: all of them.
        :param batches: Maximum number of batches. Default: until nothing is pending.
        :param mutations: Maximum number of mutations in each batch. Default: the limit ``mutations_per_batch``.
        """
        done: list[Folded] = []
        for one in [index] if index else self._catalog.indexes():
            while batches is None or len(done) < batches:
                folded = self._fold(one, mutations=mutations)
                if folded is None:
                    break
                done.append(folded)
        return done

    def settle(self, index: Index) -> None:
        """With a lag of 0, and unless held: folds what is pending for this index."""
        if self._lag == 0 and not self._held:
            self.process(index)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._fold_when_due()
            except Exception:  # the thread must outlive one bad batch; the mutation stays in the log
                logger.exception("Folding failed. The next attempt is in a second.")
                with self._changed:
                    self._changed.wait(1)

    def _fold_when_due(self) -> None:
        with self._changed:
            index, wait = self._next()
            if self._stopping:
                return
            if index is None:
                self._changed.wait(wait)
                return
        self._fold(index, unless_held=True)

    def _next(self) -> tuple[Index | None, float | None]:
        """The index whose turn it is, or how long nothing is due."""
        if self._held:
            return None, None
        oldest = self._catalog.oldest()
        if oldest is None:
            return None, None
        key, accepted_at = oldest
        due_in = accepted_at + self._lag - self._clock.now()
        # A second or more beyond the lag: the clock was moved back since the mutation was accepted.
        if 0 < due_in <= self._lag + 1:
            return None, due_in
        # None for an index that was deleted a moment ago: then look again.
        return next((one for one in self._catalog.indexes() if one.key == key), None), 0.05

    def _fold(self, index: Index, *, unless_held: bool = False, mutations: int | None = None) -> Folded | None:
        """One batch of an index; None if nothing is pending for it, or it is gone."""
        with self._turn:
            if unless_held and self._held:
                return None
            try:
                state = self._states.of(index)
                with state.fold_lock:
                    return self._fold_state(state, mutations or self._limits.mutations_per_batch)
            except IndexDeleted:
                return None

    def _fold_state(self, state: IndexState, most: int) -> Folded | None:
        key, store = state.index.key, state.store
        # Nothing, unless a fold before this one failed after its commit.
        self._catalog.forget(key, store.folded_seq())
        mutations = self._catalog.pending(key, most, self._limits.vectors_per_batch)
        if not mutations:
            return None
        processed_at = store.fold(mutations, self._clock.now, self._catalog.last_seq)
        state.publish()
        self._catalog.forget(key, mutations[-1].seq)
        store.collect_garbage(self._clock.now() - self._limits.cursor_seconds)
        return Folded(
            state.index.name,
            state.published,
            tuple(mutation.id for mutation in mutations),
            sum(mutation.vectors for mutation in mutations),
            processed_at,
        )
