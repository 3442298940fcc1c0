"""Fixtures of the plan tests."""

from __future__ import annotations

from tests.load.conftest import books  # noqa: F401 - a fixture
