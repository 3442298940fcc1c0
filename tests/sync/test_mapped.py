"""Columns in files."""

from __future__ import annotations

import os

import numpy as np
import pytest

from airflow_provider_vectorize.errors import VectorizeError
from airflow_provider_vectorize.sync.mapped import MappedColumn


def test_reserve_keeps_the_items_and_adds_zeros() -> None:
    column = MappedColumn(np.uint16)
    column.items[:4_000] = 7
    column.reserve(100_000)
    assert len(column.items) >= 100_000
    assert (column.items[:4_000] == 7).all()
    assert not column.items[4_000:].any()
    column.close()


def test_reserve_on_a_full_disk_raises_instead_of_ending_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    column = MappedColumn(np.uint64)
    full = os.open("/dev/full", os.O_RDWR)
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda _, data, offset: pwrite(full, data, offset))
    with pytest.raises(VectorizeError, match="No space left on device"):
        column.reserve(100_000)
    os.close(full)
    column.close()
