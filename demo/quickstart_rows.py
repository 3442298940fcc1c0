"""Write the rows of the quickstart: forty embedded sentences about Airflow and Vectorize. Run it manually."""

from __future__ import annotations

import json
from pathlib import Path

import wordllama
from wordllama import WordLlama

TARGET = Path(__file__).resolve().parents[1] / "example_dags/quickstart.ndjson"
DIMENSIONS = 64
SENTENCES = {
    "dag": "A DAG is a workflow: tasks, and the order in which they run.",
    "task": "A task is the smallest piece of work in a workflow.",
    "operator": "An operator is a template for a task that is ready to use.",
    "sensor": "A sensor is a task that waits for something to happen.",
    "deferrable": "A deferrable operator waits in the triggerer and holds no worker meanwhile.",
    "triggerer": "The triggerer runs many waiting tasks in one event loop.",
    "scheduler": "The scheduler decides which tasks run next.",
    "executor": "The executor hands tasks to workers.",
    "worker": "A worker is a process that runs tasks.",
    "dag-processor": "The DAG processor reads the files in which workflows are written.",
    "api-server": "The API server serves the pages and the REST API.",
    "metadata-database": "The metadata database remembers every run and its state.",
    "connection": "A connection keeps the address and the password of an external service.",
    "variable": "A variable is a setting that all workflows can read.",
    "secrets-backend": "A secrets backend keeps passwords outside of Airflow's own database.",
    "xcom": "XCom hands a small value from one task to another.",
    "taskflow": "TaskFlow makes tasks from Python functions with a decorator.",
    "mapping": "Dynamic task mapping makes one task for each item of a list.",
    "retry": "A retry runs a failed task again after a while.",
    "clear": "To clear a task is to make it run again from the start.",
    "pool": "A pool limits how many tasks run at the same time.",
    "asset": "An asset is data that one workflow writes and that starts another one.",
    "lineage": "Lineage tells from which data other data was made.",
    "catchup": "Catchup makes the runs that were missed in the past.",
    "backfill": "A backfill runs a workflow for days that have gone by.",
    "cron": "A cron expression says at which times a workflow starts.",
    "provider": "A provider is a package of operators and hooks for one service.",
    "hook": "A hook is the Python interface to an external service.",
    "plugin": "A plugin adds pages and macros to Airflow.",
    "log": "The log of a task shows what it printed.",
    "vector": "A vector is a list of numbers that stands for the meaning of a text.",
    "embedding": "An embedding model turns text into vectors.",
    "index": "An index keeps vectors and finds the nearest ones.",
    "metric": "The metric says how the distance between two vectors is measured.",
    "dimensions": "The dimensions of an index are how many numbers each of its vectors has.",
    "namespace": "A namespace divides an index, for instance by customer.",
    "metadata": "Metadata is what is known of a vector, and queries can filter by it.",
    "mutation": "A mutation is a write that was acknowledged and becomes visible later.",
    "ndjson": "In ndjson each line of a file is one JSON object.",
    "token": "An API token proves that one may use an account.",
}


def main() -> None:
    """Embed the sentences and write the rows, with four digits per value, which is enough to distinguish them."""
    folder = Path(wordllama.__file__).parent
    model = WordLlama.load(dim=256, trunc_dim=DIMENSIONS, cache_dir=folder, disable_download=True)
    rows = [
        {"id": key, "values": [round(float(value), 4) for value in values], "metadata": {"text": text}}
        for (key, text), values in zip(SENTENCES.items(), model.embed(list(SENTENCES.values()), norm=True), strict=True)
    ]
    TARGET.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
