"""Kill a publication, a replacement or a pruning with SIGKILL at each of its lines, and check what is left.

A child is killed before and after each request, and before each line of a file with I/O, in every run at another place.
Of the places that leave the same requests and the same stored bytes, the first one is tried. The live index, and the
one for a rollback, then exist and have all their vectors. A retry ends like an attempt that was not killed.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import airflow_provider_vectorize
from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.switch_over.pointer import PointerStore
from airflow_provider_vectorize.switch_over.prune import prune_unused
from airflow_provider_vectorize.switch_over.publish import publish_index
from airflow_provider_vectorize.switch_over.slots import Shape, create, delete_idle_slot
from tests.support import DIMENSIONS, client_of
from tests.switch_over.support import (
    assert_named_indexes_are_complete,
    create_complete,
    names,
    point_to,
    read,
)

PACKAGE = Path(airflow_provider_vectorize.__file__).parent
#: Files whose lines are steps. The decisions and the pointer are pure, so nothing happens between their lines.
TRACED = {
    *(str(PACKAGE / "switch_over" / name) for name in ("publish.py", "slots.py", "prune.py", "stores.py")),
    str(PACKAGE / "airflow_support/variables.py"),
    str(PACKAGE / "storage/replace_file.py"),
}
#: The function that sends a request. Its beginning and its end also count as steps.
REQUEST = "_attempt"
#: A step that no run reaches.
AFTER_THE_END = sys.maxsize
HOUR = timedelta(hours=1)
Step = Callable[[VectorizeClient, PointerStore], Any]
#: Opens the store of the pointer in the process that calls it.
OpenStore = Callable[[VectorizeClient], PointerStore]


@dataclass(frozen=True)
class Scenario:
    """What is killed.

    :param prepare: Creates the indexes and the pointer.
    :param act: What is killed and retried.
    :param check_end: Checks the outcome of the retry.
    """

    prepare: Step
    act: Step
    check_end: Step


def run_in_child(run: Callable[[], Any], traced: Container[str], on_step: Callable[[int], None]) -> int:
    """Run something in a child process, call a function there before each step, and return the status of its end."""
    child = os.fork()
    if child == 0:
        steps = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal steps
            is_request = frame.f_code.co_name == REQUEST
            if frame.f_code.co_filename not in traced and not is_request:
                return None
            if event in ("call", "return") if is_request else event == "line":
                steps += 1
                on_step(steps)
            return trace

        try:
            sys.settrace(trace)
            run()
        except BaseException:  # noqa: BLE001 - a child must never return into pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed"
    return status


def killed_at(step: int, run: Callable[[], Any], traced: Container[str]) -> bool:
    """Run something in a child process, kill it before a step, and return whether it was killed."""

    def kill(reached: int) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return os.WIFSIGNALED(run_in_child(run, traced, kill))


def different_steps(run: Callable[[], Any], traced: Container[str], read_world: Callable[[], Any]) -> list[int]:
    """Return the steps at which a kill leaves another world than a kill at the step before."""
    reader, writer = os.pipe()
    last: Any = None

    def compare(_: int) -> None:
        nonlocal last
        world = read_world()
        os.write(writer, bytes([world != last]))
        last = world

    run_in_child(run, traced, compare)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        differences = pipe.read()
    assert len(differences) > 30, "the trace saw too few lines"
    return [step for step, differs in enumerate(differences, start=1) if differs]


def kill_at_every_step(
    local: LocalVectorize,
    scenario: Scenario,
    open_store: OpenStore,
    *,
    traced: Container[str] = TRACED,
    read_stored: Callable[[], Any] = lambda: None,
) -> None:
    """Run a scenario again and again, killed at a later step each time, and at last not killed.

    Steps between which nothing was sent or stored leave the same world, so only the first of them is tried.

    :param traced: Files whose lines are steps.
    :param read_stored: Reads what is stored outside of the local Vectorize, without the connections of the store.
    """
    with _prepared(local, scenario, open_store) as (_, _, attempt):
        steps = different_steps(attempt, traced, lambda: (len(local.requests()), read_stored()))
    assert len(steps) > 3, "nothing was sent or stored"
    for step in [*steps, AFTER_THE_END]:
        with _prepared(local, scenario, open_store) as (client, store, attempt):
            assert killed_at(step, attempt, traced) == (step != AFTER_THE_END)
            assert_named_indexes_are_complete(local, read(store))
            attempt()
            scenario.check_end(client, store)
            assert_named_indexes_are_complete(local, read(store))


@contextmanager
def _prepared(
    local: LocalVectorize, scenario: Scenario, open_store: OpenStore
) -> Iterator[tuple[VectorizeClient, PointerStore, Callable[[], None]]]:
    """Prepare a scenario, and return what a child runs."""
    local.reset()
    with client_of(local) as client:
        store = open_store(client)
        scenario.prepare(client, store)
        local.shift_clock(2 * HOUR.total_seconds())

        def attempt() -> None:
            with client_of(local) as own:  # a forked child must not share connections
                scenario.act(own, open_store(own))

        yield client, store, attempt


def _prepare_publish(client: VectorizeClient, store: PointerStore) -> None:
    create_complete(client, "docs-a", "docs-b")
    point_to(store, "docs-a")


def _act_publish(client: VectorizeClient, store: PointerStore) -> None:
    created_on = client.get_index("docs-b").created_on
    assert publish_index(client, store, "docs-b", "docs-a", created_on) == {
        "index_name": "docs-b",
        "previous": "docs-a",
    }


def _check_end_publish(client: VectorizeClient, store: PointerStore) -> None:
    assert (read(store).index, read(store).previous) == ("docs-b", "docs-a")


def _prepare_replace(client: VectorizeClient, store: PointerStore) -> None:
    create_complete(client, "docs-a", "docs-b", pointer=store.uri)
    point_to(store, "docs-a", "docs-b")


def _act_replace(client: VectorizeClient, store: PointerStore) -> None:
    delete_idle_slot(client, store, "docs-b", HOUR)
    create(client, "docs-b", Shape(DIMENSIONS, "cosine"), store.uri, if_exists="fail")


def _check_end_replace(client: VectorizeClient, store: PointerStore) -> None:
    assert (read(store).index, read(store).previous) == ("docs-a", None)
    assert client.get_index_info("docs-b").vector_count == 0


def _prepare_prune(client: VectorizeClient, store: PointerStore) -> None:
    create_complete(client, "docs-1", "docs-2", "docs-3", "docs-4", "docs-5", pointer=store.uri)
    create_complete(client, "docs-staging", pointer="kv://staging")
    point_to(store, "docs-3", "docs-1")


def _act_prune(client: VectorizeClient, store: PointerStore) -> None:
    prune_unused(client, store, prefix="docs-", keep=1, min_age=HOUR)


def _check_end_prune(client: VectorizeClient, store: PointerStore) -> None:
    assert names(client) == ["docs-1", "docs-3", "docs-5", "docs-staging"]


#: By the name of what is killed.
SCENARIOS = {
    "publish": Scenario(_prepare_publish, _act_publish, _check_end_publish),
    "replace": Scenario(_prepare_replace, _act_replace, _check_end_replace),
    "prune": Scenario(_prepare_prune, _act_prune, _check_end_prune),
}
