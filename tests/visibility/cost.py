"""What waiting costs: a few fixed cases, with the checks, markers and requests that they may take."""

from __future__ import annotations

import random
from collections.abc import Callable

from .waiting import CHECK_SECONDS, Cost, Waiting, receipt, write
from .world import World


def single_writer(world: World) -> Cost:
    """One writer, whose batches are folded by several jobs."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 8))
    for _ in range(4):
        waiting.check(4)
        world.fold("docs", 2)
    return waiting.cost(waiting.until_green())


def one_batch(world: World) -> Cost:
    """One writer, and a load of one batch."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 1))
    waiting.check(4)
    world.fold("docs")
    return waiting.cost(waiting.until_green())


def pages_of_the_hook(world: World) -> Cost:
    """A list of mutations that one call of the hook returned, folded by several jobs."""
    waiting = Waiting(world)
    mutations = world.client("hook").delete_by_ids("docs", [f"v{number}" for number in range(400)])
    waiting.wait("sensor", mutations)
    for _ in range(4):
        waiting.check(4)
        world.fold("docs", 1)
    return waiting.cost(waiting.until_green())


def unchanged_data(world: World) -> Cost:
    """The same vectors a second time. Counts from the moment at which the mutation is shown."""
    write(world, "yesterday", 3)
    world.fold("docs")
    world.advance(60)
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "today", 3))
    waiting.check(10)
    world.fold("docs")
    return waiting.cost(waiting.until_green())


def bare_id(world: World) -> Cost:
    """A bare id, which is shown. Counts from that moment."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 3)["mutation_id"])
    waiting.check(2)
    world.fold("docs")
    return waiting.cost(waiting.until_green())


def bare_id_hidden(world: World) -> Cost:
    """A bare id that another writer hides. Counts from the moment at which the marker is shown."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 3)["mutation_id"])
    world.foreign_mutation("docs")
    world.fold("docs")
    waiting.check(4)
    world.fold("docs")
    return waiting.cost(waiting.until_green())


def mapped(world: World) -> Cost:
    """Four receipts of mapped loads, folded by one job. Counts from the moment at which the marker is shown."""
    waiting = Waiting(world)
    waiting.wait("sensor", [write(world, f"loader-{number}", 2) for number in range(4)])
    waiting.check(3)
    world.fold("docs")
    waiting.check(2)
    world.fold("docs")
    return waiting.cost(waiting.until_green())


def hidden(world: World) -> Cost:
    """A receipt that another writer hides on an index that is quiet then. Counts from the job's end."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 2))
    world.foreign_mutation("docs")
    waiting.check(2)
    world.fold("docs")
    waiting.check(4)
    world.fold("docs")
    return waiting.cost(4 + waiting.until_green())


def short_overlap(world: World) -> Cost:
    """Another writer's mutation is shown for two checks before this one. Counts from the second job's end."""
    waiting = Waiting(world)
    world.foreign_mutation("docs")
    waiting.wait("sensor", write(world, "loader", 2))
    world.fold("docs", 1)
    waiting.check(2)
    world.fold("docs")
    return waiting.cost(waiting.until_green())


def resonance(world: World) -> Cost:
    """Another writer writes shortly before the end of each job of 30 seconds. Counts from the acknowledgement."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 2))

    def begin_job() -> None:
        taken = len(world.pending("docs"))
        world.schedule(23, lambda: world.foreign_mutation("docs"))
        world.schedule(30, lambda: (world.fold("docs", taken), begin_job()))

    random.seed(1)
    world.foreign_mutation("docs")
    begin_job()
    return waiting.cost(waiting.until_green(200))


def seen_before(world: World) -> Cost:
    """A sensor that begins when its mutation was shown already, to another sensor's check."""
    waiting = Waiting(world)
    mine = write(world, "mine", 1)
    other = write(world, "other", 1)
    waiting.wait("other", other, "none")
    world.fold("docs", 1)
    waiting.check()
    world.foreign_mutation("docs")
    world.fold("docs")
    waiting.check()
    waiting.requests.pop("other", None)
    waiting.wait("another", write(world, "another", 1), "none")
    waiting.check()
    waiting.wait("mine", mine)
    waiting.check()
    waiting.requests.pop("another", None)
    return waiting.cost(1 if "mine" not in waiting.requests else 1 + waiting.until_green())


def old_marker(world: World) -> Cost:
    """The first marker is shown when the second was sent already. Counts from that moment."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 2))
    world.foreign_mutation("docs")
    world.fold("docs")
    while waiting.requests and len(waiting.markers) < 2:
        waiting.check()
    world.fold("docs", 1)
    return waiting.cost(waiting.until_green())


def stall(world: World) -> Cost:
    """Jobs stall for ten minutes. Counts from their next end."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 2))
    world.foreign_mutation("docs")
    world.fold("docs", 1)
    waiting.check(120)
    world.fold("docs")
    return waiting.cost(waiting.until_green())


def late_clock(world: World) -> Cost:
    """The watermark's clock is half a minute slow, and another writer hides the mutation. Counts from the job's end."""
    waiting = Waiting(world)
    waiting.wait("sensor", write(world, "loader", 2))
    world.foreign_mutation("docs")
    world.fold("docs")
    while not waiting.markers and waiting.checks < 200:
        waiting.check()
    world.fold("docs")
    return waiting.cost(waiting.checks + waiting.until_green())


def busy(world: World, sensors: int = 1, seed: int = 0, seconds: float = 3_600.0) -> Cost:
    """Another writer writes every two seconds, and a job of 20 seconds takes what was there when it began."""
    r = random.Random(seed)
    random.seed(seed)
    waiting = Waiting(world)

    def write_as_another() -> None:
        world.foreign_mutation("docs")
        world.schedule(r.expovariate(0.5), write_as_another)

    def begin_job() -> None:
        taken = len(world.pending("docs"))
        world.schedule(20, lambda: (world.fold("docs", taken) if taken else None, begin_job()))

    write_as_another()
    begin_job()
    for number in range(sensors):
        waiting.wait(f"sensor-{number}", receipt([world.foreign_mutation("docs")], world))
    return waiting.cost(waiting.until_green(int(seconds / CHECK_SECONDS)))


#: By case: its function, and the most checks, markers and other requests that it may take.
CASES: dict[str, tuple[Callable[[World], Cost], Cost]] = {
    "single writer": (single_writer, Cost(1, 0, 3)),
    "one batch": (one_batch, Cost(1, 0, 0)),
    "pages of the hook": (pages_of_the_hook, Cost(1, 0, 3)),
    "unchanged data": (unchanged_data, Cost(2, 0, 3)),
    "bare id": (bare_id, Cost(2, 0, 3)),
    "bare id, hidden": (bare_id_hidden, Cost(2, 1, 6)),
    "mapped loads": (mapped, Cost(2, 1, 6)),
    "hidden by another writer": (hidden, Cost(5, 1, 3)),
    "short overlap": (short_overlap, Cost(1, 0, 3)),
    "resonance": (resonance, Cost(60, 10, 3)),
    "seen before": (seen_before, Cost(1, 0, 3)),
    "old marker": (old_marker, Cost(1, 2, 3)),
    "stall": (stall, Cost(1, 3, 3)),
    "late clock": (late_clock, Cost(27, 1, 3)),
}


def exceeded(cost: Cost, most: Cost) -> str:
    """Say what is more than it may be, or return an empty text."""
    found = [
        f"{value} {name} instead of {allowed}"
        for name, value, allowed in (
            ("checks", cost.checks, most.checks),
            ("markers", cost.markers, most.markers),
            ("other requests", cost.other, most.other),
        )
        if value > allowed
    ]
    return ", ".join(found)


def run_case(name: str) -> tuple[Cost, str]:
    """Run one case in a world of its own. Returns its cost, and what is more than it may be."""
    case, most = CASES[name]
    with World(watermark_skew=-30.0 if case is late_clock else 0.0) as world:
        world.create_index("docs")
        world.advance(60)
        cost = case(world)
        return cost, exceeded(cost, most)


def run_busy(sensors: int, runs: int) -> list[tuple[Cost, list[float]]]:
    """Run the busy index with several seeds. Returns cost, and when markers were sent."""
    found = []
    for seed in range(runs):
        with World() as world:
            world.create_index("docs")
            cost = busy(world, sensors, seed)
            found.append((cost, [one.begun_at for one in world.sent if one.client == "monitor" and one.write]))
    return found
