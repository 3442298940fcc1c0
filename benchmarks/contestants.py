"""Load a file in one of several ways, and print the duration and memory as JSON.

    python benchmarks/contestants.py NAME FILE PORT --one-row FILE [--options JSON]

The process first loads a file of one row, which imports everything that is imported on first use. The measured time is
from opening the file to the last response. The measured memory is the peak above what the process used after the one
row.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import urllib.request
from pathlib import Path

from peer_ways import docs_batches, docs_whole, naive_operator, plain_socket, s3_client, sdk, wrangler
from provider_ways import line_by_line, ours, reader, sync

CONTESTANTS = {
    function.__name__: function
    for function in (
        plain_socket,
        ours,
        line_by_line,
        sync,
        reader,
        docs_whole,
        docs_batches,
        sdk,
        naive_operator,
        s3_client,
        wrangler,
    )
}


def memory_kb(field: str, process: int | str = "self") -> int:
    """Return a memory figure of a process from the kernel. Default: this process.

    The peak of getrusage cannot be used, because a new process inherits it from its parent.
    """
    return next(
        int(line.split()[1])
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith(field)
    )


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def record_processes() -> tuple[list[str], list[int]]:
    """Record the processes that this one starts and ends from now on.

    :return: A list that grows with each process that is started, and one with the peak memory in KB of each one that is
        killed, as a load ends those that it starts.
    """
    started: list[str] = []
    peaks: list[int] = []

    def record(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}:
            started.append(event)
        if event == "os.kill":
            peaks.append(memory_kb("VmHWM", str(arguments[0])))

    sys.addaudithook(record)
    return started, peaks


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("file")
    parser.add_argument("port", type=int)
    parser.add_argument("--one-row", required=True)
    parser.add_argument("--options", type=json.loads, default={})
    args = parser.parse_args()
    contestant = CONTESTANTS[args.name]
    if args.name != "wrangler":  # Each run of wrangler is a new process.
        contestant(args.one_row, args.port, **args.options)()
    run = contestant(args.file, args.port, **args.options)
    with urllib.request.urlopen(f"http://127.0.0.1:{args.port}/reset"):
        pass
    before = memory_kb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Reset the peak, which includes the imports.
    processes, process_kb = record_processes()
    started, started_cpu = time.perf_counter(), cpu_seconds()
    run()
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - started_cpu
    # wrangler runs in a child process, whose peak includes nothing of this process.
    child_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    over_kb = child_kb if args.name == "wrangler" else memory_kb("VmHWM") - before
    figures = {
        "seconds": seconds,
        "over_mb": over_kb / 1024,
        "cpu": cpu,
        "started": len(processes),
        "started_mb": max(process_kb, default=0) / 1024,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
