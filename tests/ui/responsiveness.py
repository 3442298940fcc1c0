"""Measure how the page of local Vectorize responds with 20,000 vectors: ``python -m tests.ui.responsiveness``.

The page shows the plot of 5,000 points and updates itself. Then the pointer moves over the points, queries are sent,
and every three seconds a write makes the server calculate the projection anew. Meanwhile, another client uses the API.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import sync_playwright

from airflow_provider_vectorize.local.handle import LocalVectorize
from tests.ui.conftest import ARGUMENTS, CHROMIUM
from tests.ui.local_page import DIMENSIONS, VECTORS, api, create, documentation_vectors, upsert

SECONDS = 15.0
#: JavaScript that records how long the page does not react: tasks of more than 50 ms, and the time between two frames.
RECORD = """() => {
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => entry.duration)))
        .observe({ type: 'longtask', buffered: true });
    window.frames_ = [];
    let last = performance.now();
    const frame = (now) => { window.frames_.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
}"""
CLEAR = "() => { window.longTasks.length = 0; window.frames_.length = 0; }"
DRAWN = "() => document.getElementById('plot-area').dataset.points === '5000'"


def describe(label: str, milliseconds: list[float]) -> None:
    if not milliseconds:
        print(f"{label:64} none")
        return
    ordered = sorted(milliseconds)
    high = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    print(
        f"{label:64} median {statistics.median(ordered):7.1f} ms, 99 % {high:7.1f} ms, maximum {ordered[-1]:7.1f} ms "
        f"({len(ordered)})"
    )


def timed(action: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    action(*arguments)
    return (time.perf_counter() - started) * 1e3


@contextmanager
def querying(local: LocalVectorize) -> Iterator[list[float]]:
    """Send queries over the API in another thread, and yield their durations."""
    durations: list[float] = []
    stopped = threading.Event()
    body = {"vector": [1.0] * DIMENSIONS, "topK": 10}

    def send() -> None:
        api(local, "/docs/query", json=body).raise_for_status()

    def run() -> None:
        while not stopped.wait(0.1):
            durations.append(timed(send))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield durations
    finally:
        stopped.set()
        thread.join()


def main() -> None:
    vectors = documentation_vectors()
    with LocalVectorize.start(lag=0, extra_args=["--no-sync"]) as local, sync_playwright() as playwright:
        create(local, "docs", DIMENSIONS)
        for first in range(0, VECTORS, 5_000):
            upsert(local, "docs", *vectors[first : first + 5_000])
        local.set_budget("100000/300")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.add_init_script(f"({RECORD})()")

        def open_page() -> None:
            page.goto(f"http://127.0.0.1:{local.port}/")
            page.wait_for_function(DRAWN, polling=10)

        print(f"{VECTORS:,} vectors of {DIMENSIONS} dimensions")
        describe("from the address to the drawn plot, first time", [timed(open_page)])
        describe("tasks of more than 50 ms until then", page.evaluate("() => window.longTasks"))
        describe("the same again", [timed(open_page) for _ in range(5)])

        page.evaluate(CLEAR)
        box = page.locator("#plot").bounding_box()
        assert box
        hovers, queries = [], []
        with querying(local) as durations:
            deadline, number, written = time.monotonic() + SECONDS, 0, time.monotonic()
            while time.monotonic() < deadline:
                number += 1
                x = box["x"] + box["width"] * (number % 37) / 37
                y = box["y"] + box["height"] * (number % 23) / 23
                hovers.append(timed(page.mouse.move, x, y))
                if number % 20 == 0:
                    queries.append(timed(ask, page, vectors[number]["id"]))
                if time.monotonic() - written > 3:
                    upsert(local, "docs", vectors[number])
                    written = time.monotonic()
                page.wait_for_timeout(20)
        describe("moving the pointer over the plot", hovers)
        describe("query on the page until its results are shown", queries)
        describe("time between two frames", page.evaluate("() => window.frames_"))
        describe("tasks of more than 50 ms", page.evaluate("() => window.longTasks"))
        describe("query of another client over the API at the same time", durations)
        browser.close()


def ask(page: Any, vector_id: str) -> None:
    page.evaluate("() => { document.getElementById('answer').textContent = ''; }")
    page.get_by_label("Vector ID or values").fill(vector_id)
    page.get_by_label("Vector ID or values").press("Enter")
    page.wait_for_function("() => /results in/.test(document.getElementById('answer').textContent)", polling=10)


if __name__ == "__main__":
    main()
