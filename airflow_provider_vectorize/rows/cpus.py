"""Count the processors that this process may use."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def available_cpus(cgroup: Path = _CGROUP, own_groups: Path = _OWN_GROUPS) -> int:
    """Return the number of processors that this process may use, at least 1.

    The affinity of the process, the quotas of its container and its service and, from Python 3.13,
    ``PYTHON_CPU_COUNT`` limit them.

    :param cgroup: Folder of the control groups, version 2 or 1.
    :param own_groups: File that names the control groups of this process.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13. It also reads the user's PYTHON_CPU_COUNT.
        affinity = os.process_cpu_count() or 1
    else:
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders(cgroup, own_groups) if (quota := _quota(folder)) is not None]
    return max(1, min([affinity, *map(int, quotas)]))


def _folders(cgroup: Path, own_groups: Path) -> list[Path]:
    """Return the folders that may limit this process: of its control group, and of all groups above it.

    In a container, the folder of its group is that of all groups, whatever name the group has on the host.
    """
    folders = {cgroup, cgroup / "cpu"}
    try:
        lines = own_groups.read_text().splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        _, _, names_and_path = line.partition(":")
        names, _, path = names_and_path.partition(":")
        group = PurePosixPath(path.removeprefix("/"))
        if ".." in group.parts or not (names == "" or "cpu" in names.split(",")):
            continue
        root = cgroup / "cpu" if names else cgroup
        folders.update(root / part for part in (group, *group.parents))
    return sorted(folders)


def _quota(folder: Path) -> float | None:
    """Return the processors that a control group may use, or ``None`` without a limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # The quota is "max".
        return None
