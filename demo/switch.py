"""Switch readers to a rebuilt index, and back, on a real Airflow and a local Vectorize.

A first rebuild goes live. The second one lacks an object of the corpus. Its check fails, and readers keep the old
index. The third one goes live, and a rollback goes back. All files are in .demo/, and nothing leaves this machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
import time
from contextlib import ExitStack
from typing import Any

from local_airflow import DemoError, LocalAirflow, TaskFailedError
from run import HOME, ROOT, client_of, detail, exclusive_lock, remove_files_of_other_versions, step

from airflow_provider_vectorize.local.handle import LocalVectorize
from airflow_provider_vectorize.switch_over.pointer import parse_pointer

NAMESPACE, KEY = "0f2ac74b498b48028cb68387c421e279", "docs"
POINTER = f"kv://{NAMESPACE}/{KEY}"
FOLDER = HOME / "switch"
CORPUS, CHECKS, GOLDEN_QUERIES = FOLDER / "corpus", FOLDER / "checks", FOLDER / "golden.ndjson"
LAG = 2.0
QUESTION = "How do I delete the files in an S3 bucket?"


def main() -> int:
    """Run the demo, and return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    try:
        with exclusive_lock(), ExitStack() as cleanup:
            remove_files_of_other_versions()
            run(cleanup)
    except KeyboardInterrupt:
        print("\nStopped. No process is left running.")
        return 130
    except DemoError as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
        return 1
    print(f"\nThe demo succeeded after {time.monotonic() - started:.0f} s.")
    return 0


def run(cleanup: ExitStack) -> None:
    """Run all steps."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    with step("Start a local Vectorize, with a pointer in Workers KV, and Airflow"):
        vectorize = LocalVectorize.start(lag=LAG)
        cleanup.callback(vectorize.stop)
        variables = {
            "DOCS_POINTER": POINTER,
            "CORPUS": CORPUS.as_uri(),
            "CHECKS": CHECKS.as_uri(),
            "GOLDEN_QUERIES": GOLDEN_QUERIES.as_uri(),
        }
        settings = vectorize.airflow_env() | {f"AIRFLOW_VAR_{name}": value for name, value in variables.items()}
        airflow = LocalAirflow(HOME / "airflow", ROOT / "example_dags", settings)
        cleanup.callback(airflow.stop)
        airflow.start()
    from corpus import Corpus  # noqa: PLC0415 - this takes a second, so it runs while Airflow is starting

    with step("Embed the corpus: paragraphs of Airflow's documentation, in two objects"):
        corpus = Corpus(CORPUS)
        corpus.write_first_night()
        queries = corpus.write_golden_queries(GOLDEN_QUERIES)
    detail(f"{len(corpus):,} paragraphs, and {queries} golden queries: the first half of a paragraph should find it")
    reader = Reader(vectorize, corpus.embedder)
    with step("Wait until Airflow is ready"):
        airflow.wait_until_ready("rebuild", 240)
    with step("Rebuild. Nothing is live yet, so the first slot is used"):
        follow(airflow, "rebuild", {})
        reader.ask("docs-a")
    with step("Rebuild while the corpus is incomplete: the embedding job lost an object"):
        (CORPUS / "airflow.ndjson").rename(CORPUS / "lost")
        try:
            follow(airflow, "rebuild", {})
        except TaskFailedError as error:
            if error.task_id != "check" or "golden recall" not in error.reason:
                raise
            show("check failed", error.reason)
        else:
            raise DemoError("The check did not notice that a part of the corpus is missing.")
        reader.ask("docs-a")
    with step("Rebuild with the whole corpus. It replaces the failed index"):
        (CORPUS / "lost").rename(CORPUS / "airflow.ndjson")
        follow(airflow, "rebuild", {})
        reader.ask("docs-b")
    with step("Roll back, in one task"):
        follow(airflow, "rollback", {"index_name": "docs-a"})
        reader.ask("docs-a")


def follow(airflow: LocalAirflow, dag_id: str, conf: dict[str, Any]) -> None:
    """Run a DAG, and print the tasks that succeed on one line."""
    succeeded = []
    run_id = airflow.trigger(dag_id, conf)
    try:
        for task in airflow.follow(dag_id, run_id, 240):
            if task["state"] == "success":
                succeeded.append(task["task_id"])
    finally:
        show("tasks succeeded", " → ".join(succeeded))


def show(name: str, text: str) -> None:
    """Print a figure, wrapped behind its name."""
    for number, line in enumerate(textwrap.wrap(text, 90, break_on_hyphens=False)):
        detail(f"{'' if number else name:16} {line}")


class Reader:
    """What a Worker does: reads the pointer, and queries the index that it names."""

    def __init__(self, vectorize: LocalVectorize, embedder: Any) -> None:
        self._vectorize = vectorize
        self._vector = embedder.embed([QUESTION])[0].tolist()

    def ask(self, expected: str) -> None:
        """Ask the question, and check which index answers."""
        with client_of(self._vectorize) as client:
            pointer = parse_pointer(client.read_kv(NAMESPACE, KEY), POINTER)
            count = client.get_index_info(pointer.index).vector_count
            nearest = client.query(pointer.index, vector=self._vector, top_k=1, return_metadata="all").matches[0]
        if pointer.index != expected:
            raise DemoError(f"Readers use the index {pointer.index} instead of {expected}.")
        text = textwrap.shorten((nearest.metadata or {})["text"], 60, placeholder=" …")
        show("pointer", f"index {pointer.index}, previous {pointer.previous}, model {pointer.model}")
        show("readers find", f"{count:,} vectors. {QUESTION}")
        show("", f"{nearest.score:.3f}  {text}")


if __name__ == "__main__":
    # Requests to this machine must not use a proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    sys.exit(main())
