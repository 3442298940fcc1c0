from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_vectorize.rows.cpus import available_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("limit", "cpus"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("nonsense", 8)],
)
def test_cpus_are_limited_by_the_quota_of_the_container(tmp_path: Path, limit: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 8), ("300000", 3)])
def test_cpus_are_limited_by_the_quota_of_an_old_control_group(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cpus(tmp_path) == cpus


def test_cpus_without_a_control_group_are_those_of_the_process(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == 8


def test_cpus_are_limited_by_the_number_that_python_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)  # PYTHON_CPU_COUNT=3, from Python 3.13
    assert available_cpus(tmp_path) == 3


def process_groups(path: Path, *lines: str) -> Path:
    """Write a file like ``/proc/self/cgroup``."""
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_cpus_are_limited_by_the_quota_of_a_service_and_of_the_slices_above(tmp_path: Path) -> None:
    groups = process_groups(tmp_path / "groups", "0::/system.slice/airflow.service")
    service = tmp_path / "system.slice" / "airflow.service"
    service.mkdir(parents=True)
    (service / "cpu.max").write_text("500000 100000")
    assert available_cpus(tmp_path, groups) == 5
    (service.parent / "cpu.max").write_text("300000 100000")
    assert available_cpus(tmp_path, groups) == 3
    (service / "cpu.max").write_text("max 100000")
    assert available_cpus(tmp_path, groups) == 3


def test_cpus_are_limited_by_the_quota_of_a_service_in_an_old_control_group(tmp_path: Path) -> None:
    groups = process_groups(tmp_path / "groups", "5:memory:/a", "4:cpu,cpuacct:/airflow", "1:name=systemd:/b", "0::/c")
    (tmp_path / "cpu" / "airflow").mkdir(parents=True)
    (tmp_path / "cpu" / "airflow" / "cpu.cfs_quota_us").write_text("200000")
    (tmp_path / "cpu" / "airflow" / "cpu.cfs_period_us").write_text("100000")
    assert available_cpus(tmp_path, groups) == 2


@pytest.mark.parametrize("line", ["0::/docker/of the host", "0::/../..", "0::", "nonsense", ""])
def test_cpus_of_a_group_that_is_not_mounted_are_limited_by_that_of_the_container(tmp_path: Path, line: str) -> None:
    (tmp_path / "cpu.max").write_text("200000 100000")
    assert available_cpus(tmp_path, process_groups(tmp_path / "groups", line)) == 2
