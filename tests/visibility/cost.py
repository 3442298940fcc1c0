"""Fixed cases of waiting, with the maximum number of checks, markers and requests of each."""

from __future__ import annotations

import random
from collections.abc import Callable

from .waiting import CHECK_SECONDS, Cost, SensorScenario, load, receipt
from .world import World


def single_writer(world: World) -> Cost:
    """One writer. Several jobs process its batches."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 8))
    for _ in range(4):
        scenario.check(4)
        world.fold("docs", 2)
    return scenario.cost(scenario.check_until_green())


def one_batch(world: World) -> Cost:
    """One writer and a load of one batch."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 1))
    scenario.check(4)
    world.fold("docs")
    return scenario.cost(scenario.check_until_green())


def pages_of_the_hook(world: World) -> Cost:
    """A list of mutations from one call of the hook. Several jobs process them."""
    scenario = SensorScenario(world)
    mutations = world.client("hook").delete_by_ids("docs", [f"v{number}" for number in range(400)])
    scenario.add_sensor("sensor", mutations)
    for _ in range(4):
        scenario.check(4)
        world.fold("docs", 1)
    return scenario.cost(scenario.check_until_green())


def unchanged_data(world: World) -> Cost:
    """The same vectors a second time. Checks count from the moment when the index shows the mutation."""
    load(world, "yesterday", 3)
    world.fold("docs")
    world.advance(60)
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "today", 3))
    scenario.check(10)
    world.fold("docs")
    return scenario.cost(scenario.check_until_green())


def bare_id(world: World) -> Cost:
    """A bare id that the index shows. Checks count from that moment."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 3)["mutation_id"])
    scenario.check(2)
    world.fold("docs")
    return scenario.cost(scenario.check_until_green())


def bare_id_hidden(world: World) -> Cost:
    """A bare id that another writer hides. Checks count from the moment when the index shows the marker."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 3)["mutation_id"])
    world.foreign_mutation("docs")
    world.fold("docs")
    scenario.check(4)
    world.fold("docs")
    return scenario.cost(scenario.check_until_green())


def mapped(world: World) -> Cost:
    """Four receipts of mapped loads in one job. Checks count from the moment when the index shows the marker."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", [load(world, f"loader-{number}", 2) for number in range(4)])
    scenario.check(3)
    world.fold("docs")
    scenario.check(2)
    world.fold("docs")
    return scenario.cost(scenario.check_until_green())


def hidden(world: World) -> Cost:
    """A receipt that another writer hides on an index without later writes. Checks count from the end of the job."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 2))
    world.foreign_mutation("docs")
    scenario.check(2)
    world.fold("docs")
    scenario.check(4)
    world.fold("docs")
    return scenario.cost(4 + scenario.check_until_green())


def short_overlap(world: World) -> Cost:
    """A mutation of another writer is shown for two checks first. Checks count from the end of the second job."""
    scenario = SensorScenario(world)
    world.foreign_mutation("docs")
    scenario.add_sensor("sensor", load(world, "loader", 2))
    world.fold("docs", 1)
    scenario.check(2)
    world.fold("docs")
    return scenario.cost(scenario.check_until_green())


def resonance(world: World) -> Cost:
    """Another writer writes shortly before each job of 30 seconds ends. Checks count from the acknowledgement."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 2))

    def begin_job() -> None:
        taken = len(world.pending("docs"))
        world.schedule(23, lambda: world.foreign_mutation("docs"))
        world.schedule(30, lambda: (world.fold("docs", taken), begin_job()))

    random.seed(1)
    world.foreign_mutation("docs")
    begin_job()
    return scenario.cost(scenario.check_until_green(200))


def seen_before(world: World) -> Cost:
    """A sensor that begins after a check of another sensor has already shown its mutation."""
    scenario = SensorScenario(world)
    mine = load(world, "mine", 1)
    other = load(world, "other", 1)
    scenario.add_sensor("other", other, "none")
    world.fold("docs", 1)
    scenario.check()
    world.foreign_mutation("docs")
    world.fold("docs")
    scenario.check()
    scenario.requests.pop("other", None)
    scenario.add_sensor("another", load(world, "another", 1), "none")
    scenario.check()
    scenario.add_sensor("mine", mine)
    scenario.check()
    scenario.requests.pop("another", None)
    return scenario.cost(1 if "mine" not in scenario.requests else 1 + scenario.check_until_green())


def old_marker(world: World) -> Cost:
    """The index shows the first marker after the second was sent. Checks count from that moment."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 2))
    world.foreign_mutation("docs")
    world.fold("docs")
    while scenario.requests and len(scenario.marker_times) < 2:
        scenario.check()
    world.fold("docs", 1)
    return scenario.cost(scenario.check_until_green())


def stall(world: World) -> Cost:
    """Jobs stall for ten minutes. Checks count from the end of the next job."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 2))
    world.foreign_mutation("docs")
    world.fold("docs", 1)
    scenario.check(120)
    world.fold("docs")
    return scenario.cost(scenario.check_until_green())


def late_clock(world: World) -> Cost:
    """The watermark's clock is 30 seconds slow, and another writer hides the mutation. Checks count from the start."""
    scenario = SensorScenario(world)
    scenario.add_sensor("sensor", load(world, "loader", 2))
    world.foreign_mutation("docs")
    world.fold("docs")
    while not scenario.marker_times and scenario.checks < 200:
        scenario.check()
    world.fold("docs")
    return scenario.cost(scenario.checks + scenario.check_until_green())


def busy(world: World, sensors: int = 1, seed: int = 0, seconds: float = 3_600.0) -> Cost:
    """Another writer writes every two seconds, and each job of 20 seconds processes what was pending at its start."""
    rng = random.Random(seed)
    random.seed(seed)
    scenario = SensorScenario(world)

    def write_as_another() -> None:
        world.foreign_mutation("docs")
        world.schedule(rng.expovariate(0.5), write_as_another)

    def begin_job() -> None:
        taken = len(world.pending("docs"))
        world.schedule(20, lambda: (world.fold("docs", taken) if taken else None, begin_job()))

    write_as_another()
    begin_job()
    for number in range(sensors):
        scenario.add_sensor(f"sensor-{number}", receipt([world.foreign_mutation("docs")], world))
    return scenario.cost(scenario.check_until_green(int(seconds / CHECK_SECONDS)))


#: By name: the function of each case, and its maximum number of checks, markers and other requests.
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


def describe_excess(cost: Cost, limit: Cost) -> str:
    """Return which numbers exceed their limits, or an empty text."""
    excess = [
        f"{value} {name} instead of at most {allowed}"
        for name, value, allowed in (
            ("checks", cost.checks, limit.checks),
            ("markers", cost.markers, limit.markers),
            ("other requests", cost.other, limit.other),
        )
        if value > allowed
    ]
    return ", ".join(excess)


def run_case(name: str) -> tuple[Cost, str]:
    """Run one case in a new world. Return its cost, and the text of :func:`describe_excess`."""
    case, limit = CASES[name]
    with World(watermark_skew=-30.0 if case is late_clock else 0.0) as world:
        world.create_index("docs")
        world.advance(60)
        cost = case(world)
        return cost, describe_excess(cost, limit)


def run_busy(sensors: int, runs: int) -> list[tuple[Cost, list[float]]]:
    """Run the case of a busy index with several seeds. Return each cost, and the time of each marker."""
    results = []
    for seed in range(runs):
        with World() as world:
            world.create_index("docs")
            cost = busy(world, sensors, seed)
            marker_times = [request.sent_at for request in world.sent if request.client == "monitor" and request.write]
            results.append((cost, marker_times))
    return results
