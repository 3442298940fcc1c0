"""From a connection to a client, and what is said when a field is wrong."""

from __future__ import annotations

import importlib.util
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
from airflow_provider_vectorize.hooks.connection import build_client, read_connection
from airflow_provider_vectorize.hooks.missing_connection import missing_connection
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.local.handle import ACCOUNT_ID, LocalVectorize

AIRFLOW_V_3_0_PLUS = importlib.util.find_spec("airflow.sdk") is not None
TOKEN = "cfut_do-not-show-this"
CLOUDFLARE = f"https://api.cloudflare.com/client/v4/accounts/{ACCOUNT_ID}/vectorize/v2"


def client(extra: Any = None, **fields: Any) -> VectorizeClient:
    """From a connection with a token and an account, otherwise where one says so."""
    extra = {"account_id": ACCOUNT_ID} | (extra or {})
    given = {"conn_id": "cf", "conn_type": "vectorize", "password": TOKEN, "extra": json.dumps(extra)}
    return build_client(Connection(**given | fields))


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
        ({"host": "api.cloudflare.com"}, CLOUDFLARE),
        ({"host": "https://API.cloudflare.com"}, CLOUDFLARE.replace("api", "API")),
        ({"host": "https://api.cloudflare.com/"}, CLOUDFLARE),
        ({"host": "gateway.example", "schema": "HTTPS"}, "https://gateway.example/client/v4/accounts"),
        ({"host": "https://gateway.example/"}, "https://gateway.example/accounts"),
        ({"host": "https://gateway.example/vectorize"}, "https://gateway.example/vectorize/accounts"),
        ({"host": "::1", "port": 8787, "schema": "http"}, "http://[::1]:8787/client/v4/accounts"),
        ({"host": "[::1]", "port": 8787, "schema": "http"}, "http://[::1]:8787/client/v4/accounts"),
        ({"host": "http://[::1]", "port": 8787}, "http://[::1]:8787/client/v4/accounts"),
        ({"host": "http://[::1]/client/v4", "port": 8787}, "http://[::1]:8787/client/v4/accounts"),
        ({"host": "http://[::1]:1/client/v4", "port": 8787}, "http://[::1]:1/client/v4/accounts"),
        ({"host": "http://2001:db8::7/client/v4", "port": 8787}, "http://[2001:db8::7]:8787/client/v4/accounts"),
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
        f"vectorize://https://:{TOKEN}@127.0.0.1%3A8787/?account_id={ACCOUNT_ID}",
        f"vectorize://:{TOKEN}@127.0.0.1:8787/?account_id={ACCOUNT_ID}",
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
        ({"password": f"Bearer {TOKEN}"}, "has spaces or characters that a token cannot have"),
        ({"password": f"“{TOKEN}”"}, "has spaces or characters that a token cannot have"),
        ({"login": "my-token"}, "is not an e-mail address. Leave it empty for an API token"),
        ({"host": "https://user:pw@host/"}, "must not contain a user or a password"),
        ({"host": "https://host?x"}, "must look like https://api.cloudflare.com/client/v4"),
        ({"host": "https://"}, "must look like"),
        ({"extra": {"timeout": "soon"}}, "'timeout' of the connection \"cf\" has to be a number from 1 to 3,600"),
        ({"extra": {"timeout": 0}}, "from 1 to 3,600"),
        ({"extra": {"timeout": "inf"}}, "from 1 to 3,600"),
        ({"extra": {"timeout": "nan"}}, "from 1 to 3,600"),
        ({"extra": {"timeout": [1]}}, "from 1 to 3,600"),
        ({"extra": {"retry_seconds": -1}}, "'retry_seconds' of the connection \"cf\" has to be a number from 0"),
        ({"extra": {"budget_reserve": 1}}, "from 0 to 0.9"),
        ({"extra": {"verify": "/no/such/file.pem"}}, "The file '/no/such/file.pem' does not exist."),
    ],
)
def test_a_wrong_field_is_named_in_one_sentence_without_the_secret(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client(**fields)
    assert said in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_an_ipv6_address_in_a_uri_keeps_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CF", f"vectorize://:{TOKEN}@[::1]:8787/client%2Fv4?account_id={ACCOUNT_ID}")
    assert VectorizeHook("cf").get_conn().credentials.base_url == "https://[::1]:8787/client/v4"


# ---------------------------------------------------------------- extra fields


class Row:
    """A connection whose extra was never checked, as it comes out of an environment variable or an old database."""

    conn_id, conn_type, host, schema, login, port = "cf", "vectorize", None, None, None, None
    password = TOKEN

    def __init__(self, extra: Any) -> None:
        self.extra = extra
        self.extra_dejson: Any = None


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (f"account_id={ACCOUNT_ID}", "are not JSON: Expecting value at line 1, column 1"),
        ('{"account_id": "x"', "are not JSON: Expecting ',' delimiter at line 1, column 19"),
        (json.dumps(json.dumps({"account_id": ACCOUNT_ID})), "are JSON inside a JSON string. Remove the outer quotes."),
        (json.dumps(["account_id", ACCOUNT_ID]), 'have to be a JSON object such as {"account_id": "…"}, not list'),
        ("null", "not null"),
        ("7", "not int"),
        ('"account_id"', "The extra fields"),
        ("true", "not bool"),
    ],
)
def test_extra_that_is_no_json_object_is_said(extra: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_connection(Row(extra))
    assert 'of the connection "cf"' in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("extra", [None, ""])
def test_extra_that_is_empty_lacks_the_account(extra: Any) -> None:
    with pytest.raises(ConfigError, match="There is no account id"):
        read_connection(Row(extra))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("acount_id", 'Did you mean "account_id"?'),
        ("accountId", 'Did you mean "account_id"?'),
        ("extra__vectorize__account_id", 'Did you mean "account_id"?'),
        ("time-out", 'Did you mean "timeout"?'),
        ("retry_second", 'Did you mean "retry_seconds"?'),
        ("Verify", 'Did you mean "verify"?'),
        ("api_token", 'Did you mean the field "API token" (password)?'),
        ("base_url", 'Did you mean the field "API base URL" (host)?'),
        ("colour", "The known fields are account_id, timeout, retry_seconds, budget_reserve, verify."),
    ],
)
def test_an_unknown_extra_field_is_warned_of_once_with_the_nearest_known_one(
    name: str, hint: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_vectorize.hooks.connection._logged_warnings", set())
    for _ in range(3):
        client({name: "s3cret-value"})
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [one for one in said if name in one] == [
        f'The extra field "{name}" of the connection "cf" is unknown and is ignored. {hint}'
    ]
    assert "s3cret-value" not in caplog.text


def test_known_extra_fields_and_airflows_own_are_not_warned_of() -> None:
    extra = {"account_id": ACCOUNT_ID, "timeout": 5, "retry_seconds": 5, "verify": True, "__extra__": "{}"}
    assert read_connection(Row(json.dumps(extra))).warnings == ()


def test_a_host_without_a_scheme_is_said_to_be_https(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_vectorize.hooks.connection._logged_warnings", set())
    client(host="gateway.example")
    said = 'The API base URL of the connection "cf" has no scheme, so https://gateway.example/client/v4 is used.'
    assert said in caplog.text
    for fields in ({"host": "https://gateway.example"}, {"host": "gateway.example", "schema": "http"}, {}):
        caplog.clear()
        client(**fields)
        assert "no scheme" not in caplog.text


@pytest.mark.parametrize("value", [True, [1], "1e999", 10**400])
def test_a_number_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="has to be a number"):
        client({"retry_seconds": value})


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 7])
def test_verify_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="has to be true, false, or the path"):
        client({"verify": value})


# ---------------------------------------------------------------- connections that are not found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ('{"conn_type": "vectorize", "password": }', "its JSON is wrong (Expecting value at line 1, column 40)"),
        ("{'conn_type': 'vectorize', 'password': 's3cret'}", "its JSON is wrong"),
        ('["s3cret"]', "its JSON is not an object"),
        ('"{\\"conn_type\\": \\"vectorize\\"}"', "its JSON is not an object"),
        ("null", "its JSON is not an object"),
        (
            '{"conn_type": "vectorize", "token": "s3cret"}',
            "the field 'token' is unknown. The known fields are conn_type",
        ),
        ('{"conn_type": "vectorize", "port": "s3cret"}', "its port is not a number"),
        ("vectorize", "it is neither a JSON object nor a URI"),
        ("cfut_s3cret", "it is neither a JSON object nor a URI"),
        ("vectorize://:s3cret@host:port/client", "its host or port cannot be read"),
        ("vectorize://:s3c/ret#x@host", "its host or port cannot be read"),
        ("vectorize://:s3cret@[::1/", "its host or port cannot be read"),
    ],
)
def test_a_variable_that_is_no_connection_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CX", text)
    with pytest.raises(ConfigError) as caught:
        VectorizeHook("cx").list_indexes()
    assert "The environment variable AIRFLOW_CONN_CX does not contain a connection" in str(caught.value)
    assert said in str(caught.value)
    assert "s3c" not in str(caught.value)


def test_a_connection_that_is_not_there_is_said_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match='The connection "nowhere" does not exist') as caught:
        VectorizeHook("nowhere").list_indexes()
    if AIRFLOW_V_3_0_PLUS:
        assert "Outside of a task, Airflow 3 does not read connections from its database" in str(caught.value)
        assert "AIRFLOW_CONN_NOWHERE" in str(caught.value)
    else:
        assert "Create it in Airflow under Admin > Connections" in str(caught.value)


def test_a_process_of_the_server_is_told_to_create_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    assert "Create it in Airflow under Admin > Connections" in str(missing_connection("nowhere"))


def test_reading_a_connection_logs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        made = client()
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(made.credentials)
