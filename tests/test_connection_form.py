"""The connection form where it depends on the version of Airflow."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize import provider_info


@pytest.mark.parametrize("version", ["3.3.1", "3.3.2"])
def test_an_airflow_that_tests_no_connection_without_a_port_shows_the_port_and_asks_for_0(version: str) -> None:
    behaviour = provider_info._field_behaviour(version)

    assert behaviour["hidden-fields"] == ["schema"]
    assert behaviour["placeholders"]["port"] == f"enter 0, or Airflow {version} cannot test the connection"


@pytest.mark.parametrize("version", ["2.11.2", "3.1.8", "3.3.0", "3.3.3", "3.4.0"])
def test_every_other_airflow_hides_the_port_since_the_base_url_has_it(version: str) -> None:
    behaviour = provider_info._field_behaviour(version)

    assert behaviour["hidden-fields"] == ["schema", "port"]
    assert "port" not in behaviour["placeholders"]


def test_the_form_insists_on_the_account_and_on_nothing_else() -> None:
    insists = {name for name, field in provider_info.CONN_FIELDS.items() if "null" not in field["schema"]["type"]}
    assert insists == {"account_id"}
