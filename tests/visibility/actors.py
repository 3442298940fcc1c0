"""A world in which several tasks run concurrently on virtual time: each in its own thread, one thread at a time.

A task hands over control only when it waits for an answer, a retry, a queue or another thread. The tasks can therefore
run the real code, and runs with the same seed are identical. :meth:`ActorWorld.concurrent` replaces the threads and
queues of a module by those of the world, so that the concurrent requests of a load overlap in virtual time.
"""

from __future__ import annotations

import functools
import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from queue import Empty
from types import ModuleType, SimpleNamespace
from typing import Any

from .world import World

FOREVER = 1e12
Condition = Callable[[], bool]


class WorldClosed(BaseException):
    """Ends the tasks that are still running when their world is closed."""


class Actor:
    """One thread of a task.

    :param world: The world that schedules the thread.
    :param target: The code that the thread runs.
    """

    def __init__(self, world: ActorWorld, target: Callable[[], object]) -> None:
        self._world = world
        self._target = target
        self.until: Condition | None = None  #: condition that it waits for in addition to the time
        self.turns = 0  #: number of turns so far, so that a timeout of an earlier wait cannot wake it
        self.alive = True
        self.error: BaseException | None = None
        self.turn = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.turn.acquire()
        try:
            self._target()
        except WorldClosed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that advances the time
            self.error = error
        self.alive = False
        self._world.hand_over()


class ActorWorld(World):
    """A world whose tasks take turns."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lock = nullcontext()  # type: ignore[assignment] # only one thread runs at a time
        self._actors: list[Actor] = []
        self._current: Actor | None = None
        self._handed_over = threading.Semaphore(0)
        self._closed = False

    def start(self, target: Callable[[], object], after: float = 0.0) -> Actor:
        """Start a task after this many seconds. Return its thread."""
        actor = Actor(self, target)
        self._actors.append(actor)
        self.schedule(after, lambda: self._begin(actor))
        return actor

    def _begin(self, actor: Actor) -> None:
        actor.thread.start()
        self._give_turn(actor)

    def _give_turn(self, actor: Actor) -> None:
        actor.turns += 1
        actor.until = None
        before, self._current = self._current, actor
        actor.turn.release()
        self._handed_over.acquire()
        self._current = before
        if not actor.alive:
            self._actors.remove(actor)
            if actor.error:
                raise actor.error

    def hand_over(self) -> None:
        """Let other actors run. Called from the thread of an actor."""
        self._handed_over.release()

    def advance(self, seconds: float, until: Condition | None = None) -> None:  # type: ignore[override]
        """Advance the time: for the calling task while others run, or for all tasks if the caller is not a task."""
        if self._closed:
            raise WorldClosed
        if self._current is None:
            self._run(self.now + seconds, until or (lambda: False))
        elif not (until and until()):
            self._park(self._current, seconds, until)

    def _park(self, actor: Actor, seconds: float, until: Condition | None) -> None:
        turns, actor.until = actor.turns, until
        if seconds < FOREVER:
            self.schedule(seconds, lambda: self._give_turn(actor) if actor.turns == turns and actor.alive else None)
        self.hand_over()
        actor.turn.acquire()
        if self._closed:
            raise WorldClosed

    def _run(self, end: float, until: Condition) -> None:
        while not until():
            ready = next((actor for actor in self._actors if actor.until and actor.until()), None)
            if ready:
                self._give_turn(ready)
            elif self._events and self._events[0][0] <= end:
                at, _, action = heapq.heappop(self._events)
                self.now = max(self.now, at)
                action()
            else:
                self.now = max(self.now, end)
                return

    def close(self) -> None:
        """End all tasks and close the world."""
        self._closed = True
        for _ in range(100):
            running = [actor for actor in self._actors if actor.thread.is_alive()]
            if not running:
                break
            for actor in running:
                self._give_turn(actor)
        super().close()

    @contextmanager
    def concurrent(self, *modules: ModuleType) -> Iterator[None]:
        """Replace the threads and queues of modules by those of this world."""
        saved = [(module, module.threading, module.queue) for module in modules]  # type: ignore[attr-defined]
        for module in modules:
            module.threading = SimpleNamespace(  # type: ignore[attr-defined]
                Thread=lambda **options: _Thread(self, **options),
                Semaphore=lambda value: _Semaphore(self, value),
                Event=threading.Event,  # is only set and read, never waited for
            )
            module.queue = SimpleNamespace(SimpleQueue=_QueueFactory(self), Empty=Empty)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module, original_threading, original_queue in saved:
                module.threading, module.queue = original_threading, original_queue  # type: ignore[attr-defined]


class _Thread:
    def __init__(
        self, world: ActorWorld, *, target: Callable[..., object], args: tuple[Any, ...] = (), **_: object
    ) -> None:
        self._world = world
        self._target = functools.partial(target, *args)

    def start(self) -> None:
        self._actor = self._world.start(self._target)

    def join(self, timeout: float = FOREVER) -> None:
        self._world.advance(timeout, lambda: not self._actor.alive)


class _Semaphore:
    def __init__(self, world: ActorWorld, value: int) -> None:
        self._world = world
        self._value = value

    def acquire(self) -> None:
        self._world.advance(FOREVER, lambda: self._value > 0)
        self._value -= 1

    def release(self) -> None:
        self._value += 1


class _QueueFactory:
    """Creates queues of a world. Subscripts are ignored, as in annotations."""

    def __init__(self, world: ActorWorld) -> None:
        self._world = world

    def __getitem__(self, _: object) -> _QueueFactory:
        return self

    def __call__(self) -> _Queue:
        return _Queue(self._world)


class _Queue:
    def __init__(self, world: ActorWorld) -> None:
        self._world = world
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, timeout: float = FOREVER) -> Any:
        self._world.advance(timeout, lambda: bool(self._items))
        if not self._items:
            raise Empty
        return self._items.popleft()
