"""Count the processors that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """Return the number of processors that this process may use, at least 1.

    The affinity of the process, the quota of its container and, from Python 3.13, ``PYTHON_CPU_COUNT`` limit them.

    :param cgroup: Folder of the control group, version 2 or 1.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13. It also reads the user's PYTHON_CPU_COUNT.
        affinity = os.process_cpu_count() or 1
    else:
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, affinity if quota is None else min(affinity, int(quota)))


def _quota(cgroup: Path) -> float | None:
    """Return the processors that a container may use, or ``None`` without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # The quota is "max".
        return None
