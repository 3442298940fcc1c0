"""From a connection to a client, and what is said when a field is wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_vectorize.api.client import VectorizeClient
from airflow_provider_vectorize.api.retry import RetryPolicy
from airflow_provider_vectorize.errors import ConfigError
from airflow_provider_vectorize.hooks.connection import client_from
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, LocalVectorize

TOKEN = "cfut_do-not-show-this"
CLOUDFLARE = f"https://api.cloudflare.com/client/v4/accounts/{ACCOUNT_ID}/vectorize/v2"


def client(extra: Any = None, **fields: Any) -> VectorizeClient:
    """From a connection with a token and an account, otherwise where one says so."""
    extra = {"account_id": ACCOUNT_ID} | (extra or {})
    given = {"conn_id": "cf", "conn_type": "vectorize", "password": TOKEN, "extra": json.dumps(extra)}
    return client_from(Connection(**given | fields))


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, CLOUDFLARE),
        ({"host": ""}, CLOUDFLARE),
        ({"host": "https://api.cloudflare.com/client/v4"}, CLOUDFLARE),
        ({"host": "https://api.cloudflare.com/client/v4/"}, CLOUDFLARE),
        ({"host": " https://api.cloudflare.com/client/v4// "}, CLOUDFLARE),
        ({"host": "api.cloudflare.com/client/v4"}, CLOUDFLARE),
        ({"host": "api.cloudflare.com", "schema": "client/v4"}, CLOUDFLARE),
        ({"host": "http://127.0.0.1:8787/client/v4"}, "http://127.0.0.1:8787/client/v4"),
        ({"host": "127.0.0.1", "port": 8787, "schema": "http"}, "http://127.0.0.1:8787"),
        ({"host": "127.0.0.1/client/v4", "port": 8787, "schema": "http"}, "http://127.0.0.1:8787/client/v4"),
        ({"host": "http://127.0.0.1/client/v4", "port": 8787}, "http://127.0.0.1:8787/client/v4"),
        ({"host": "http://127.0.0.1:1/client/v4", "port": 8787}, "http://127.0.0.1:1/client/v4"),
        ({"host": "http://127.0.0.1:1/client/v4", "port": 0}, "http://127.0.0.1:1/client/v4"),
    ],
)
def test_the_base_url_is_read_however_it_is_written(fields: dict[str, Any], url: str) -> None:
    assert client(**fields).credentials.account_url.startswith(url)
    assert client(**fields).credentials.account_url.endswith(f"/accounts/{ACCOUNT_ID}/vectorize/v2")


@pytest.mark.parametrize(
    "uri",
    [
        f"vectorize://:{TOKEN}@127.0.0.1:8787/client%2Fv4?account_id={ACCOUNT_ID}",
        f"vectorize://https://:{TOKEN}@127.0.0.1%3A8787%2Fclient%2Fv4/?account_id={ACCOUNT_ID}",
        f"vectorize://:{TOKEN}@https%3A%2F%2F127.0.0.1%3A8787%2Fclient%2Fv4/?account_id={ACCOUNT_ID}",
    ],
)
def test_a_connection_may_be_given_as_a_uri(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CF", uri)
    credentials = VectorizeHook("cf").get_conn().credentials
    assert credentials.base_url == "https://127.0.0.1:8787/client/v4"
    assert (credentials.account_id, credentials.secret) == (ACCOUNT_ID, TOKEN)


def test_a_connection_survives_the_way_airflow_takes_for_its_test(
    local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = json.dumps({"account_id": local_vectorize.account_id})
    made = Connection(
        conn_id="c", conn_type="vectorize", host=local_vectorize.base_url, password="to/k@n%", extra=extra
    )
    monkeypatch.setenv("AIRFLOW_CONN_CF", made.get_uri())
    credentials = VectorizeHook("cf").get_conn().credentials
    assert (credentials.base_url, credentials.secret) == (local_vectorize.base_url, "to/k@n%")


def test_an_e_mail_as_login_makes_the_password_a_global_key() -> None:
    found = client(login="a@b.example").credentials
    assert (found.email, found.secret) == ("a@b.example", TOKEN)
    assert client(login="").credentials.email is None


def test_a_global_key_works_with_the_local_vectorize(connect: Callable[..., str]) -> None:
    assert VectorizeHook(connect(login="a@b.example")).list_indexes() == []


def test_the_extra_fields_reach_the_client() -> None:
    made = client({"timeout": "5", "retry_seconds": 7, "budget_reserve": 0.5, "verify": False})
    assert made.retry == RetryPolicy(total=7)
    assert (made._timeout, made._verify, made.pacer.reserve) == (5, False, 0.5)


def test_without_extra_fields_the_defaults_stand() -> None:
    for made in (client(), client({"timeout": "", "retry_seconds": None, "budget_reserve": None, "verify": None})):
        assert made.retry == RetryPolicy(total=1_800)
        assert (made._timeout, made._verify, made.pacer.reserve) == (110, True, 0.2)


@pytest.mark.parametrize(("value", "meant"), [(True, True), ("true", True), ("False", False), ("0", False), ("", True)])
def test_verify_is_read_from_a_form_and_from_json(value: Any, meant: bool) -> None:
    assert client({"verify": value})._verify is meant


def test_verify_may_name_a_bundle_of_certificates(tmp_path: Path) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.touch()
    assert client({"verify": str(bundle)})._verify == str(bundle)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"extra": {"account_id": ""}}, 'There is no account id in the connection "cf"'),
        ({"extra": {"account_id": None}}, "There is no account id"),
        ({"extra": {"account_id": "my-account"}}, "'my-account' in the connection \"cf\" is not 32 hexadecimal digits"),
        ({"password": ""}, 'There is no API token in the connection "cf"'),
        ({"password": None}, "There is no API token"),
        ({"password": "", "login": "a@b.example"}, "There is no Global API key"),
        ({"password": f"Bearer {TOKEN}"}, "has spaces or characters that no token has"),
        ({"password": f"“{TOKEN}”"}, "has spaces or characters that no token has"),
        ({"login": "my-token"}, "is no e-mail address: leave it empty for an API token"),
        ({"host": "https://user:pw@host/"}, "must not hold a user or a password"),
        ({"host": "https://host?x"}, "has to look like https://api.cloudflare.com/client/v4"),
        ({"host": "https://"}, "has to look like"),
        ({"extra": {"timeout": "soon"}}, "'timeout' of the connection \"cf\" has to be a number from 1 to 3,600"),
        ({"extra": {"timeout": 0}}, "from 1 to 3,600"),
        ({"extra": {"timeout": "inf"}}, "from 1 to 3,600"),
        ({"extra": {"timeout": "nan"}}, "from 1 to 3,600"),
        ({"extra": {"timeout": [1]}}, "from 1 to 3,600"),
        ({"extra": {"retry_seconds": -1}}, "'retry_seconds' of the connection \"cf\" has to be a number from 0"),
        ({"extra": {"budget_reserve": 1}}, "from 0 to 0.9"),
        ({"extra": {"verify": "/no/such/file.pem"}}, "there is no '/no/such/file.pem'"),
    ],
)
def test_a_wrong_field_is_named_in_one_sentence_without_the_secret(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client(**fields)
    assert said in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_extra_that_is_no_json_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"account id|not JSON"):
        client_from(Connection(conn_id="cf", conn_type="vectorize", password=TOKEN, extra="account_id=x"))


def test_a_connection_that_is_not_there_is_said_with_what_to_create() -> None:
    with pytest.raises(ConfigError, match='There is no connection "nowhere": create it under Admin, Connections'):
        VectorizeHook("nowhere").list_indexes()


def test_reading_a_connection_logs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        made = client()
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(made.credentials)
