"""Tests of how a connection becomes a client, and of the errors for wrong fields."""

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
CLOUDFLARE = f"https://api.cloudflare.com/client/v4/accounts/{ACCOUNT_ID}"


def make_client(extra: Any = None, **fields: Any) -> VectorizeClient:
    """Build a client from a connection with a token and an account. Arguments replace its fields."""
    extra = {"account_id": ACCOUNT_ID} | (extra or {})
    settings = {"conn_id": "cf", "conn_type": "vectorize", "password": TOKEN, "extra": json.dumps(extra)}
    return build_client(read_connection(Connection(**settings | fields)))


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
def test_base_url_in_any_spelling_is_normalized(fields: dict[str, Any], url: str) -> None:
    assert make_client(**fields).credentials.account_url.startswith(url)
    assert make_client(**fields).credentials.account_url.endswith(f"/accounts/{ACCOUNT_ID}")


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
def test_connection_as_uri_is_read(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CF", uri)
    credentials = VectorizeHook("cf").get_conn().credentials
    assert credentials.base_url == "https://127.0.0.1:8787/client/v4"
    assert (credentials.account_id, credentials.secret) == (ACCOUNT_ID, TOKEN)


def test_connection_converted_to_uri_and_back_keeps_its_fields(
    local_vectorize: LocalVectorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = json.dumps({"account_id": local_vectorize.account_id})
    connection = Connection(
        conn_id="c", conn_type="vectorize", host=local_vectorize.base_url, password="to/k@n%", extra=extra
    )
    monkeypatch.setenv("AIRFLOW_CONN_CF", connection.get_uri())
    credentials = VectorizeHook("cf").get_conn().credentials
    assert (credentials.base_url, credentials.secret) == (local_vectorize.base_url, "to/k@n%")


def test_login_with_email_makes_the_password_a_global_api_key() -> None:
    credentials = make_client(login="a@b.example").credentials
    assert (credentials.email, credentials.secret) == ("a@b.example", TOKEN)
    assert make_client(login="").credentials.email is None


def test_global_api_key_is_accepted_by_the_local_vectorize(connect: Callable[..., str]) -> None:
    assert VectorizeHook(connect(login="a@b.example")).list_indexes() == []


def test_extra_fields_configure_the_client() -> None:
    client = make_client({"timeout": "5", "retry_seconds": 7, "budget_reserve": 0.5, "verify": False})
    assert client.retry == RetryPolicy(total=7)
    assert (client._timeout, client._verify, client.pacer.reserve) == (5, False, 0.5)


def test_missing_or_empty_extra_fields_use_defaults() -> None:
    empty_fields = {"timeout": "", "retry_seconds": None, "budget_reserve": None, "verify": None}
    for client in (make_client(), make_client(empty_fields)):
        assert client.retry == RetryPolicy(total=1_800)
        assert (client._timeout, client._verify, client.pacer.reserve) == (110, True, 0.2)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), ("False", False), ("0", False), ("", True)]
)
def test_verify_from_form_or_json_is_a_bool(value: Any, expected: bool) -> None:
    assert make_client({"verify": value})._verify is expected


def test_verify_with_path_is_a_ca_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.touch()
    assert make_client({"verify": str(bundle)})._verify == str(bundle)


@pytest.mark.parametrize(
    ("fields", "message"),
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
        ({"extra": {"timeout": "soon"}}, "'timeout' of the connection \"cf\" must be a number from 1 to 3,600"),
        ({"extra": {"timeout": 0}}, "from 1 to 3,600"),
        ({"extra": {"timeout": "inf"}}, "from 1 to 3,600"),
        ({"extra": {"timeout": "nan"}}, "from 1 to 3,600"),
        ({"extra": {"timeout": [1]}}, "from 1 to 3,600"),
        ({"extra": {"retry_seconds": -1}}, "'retry_seconds' of the connection \"cf\" must be a number from 0"),
        ({"extra": {"budget_reserve": 1}}, "from 0 to 0.9"),
        ({"extra": {"verify": "/no/such/file.pem"}}, "The file '/no/such/file.pem' does not exist."),
    ],
)
def test_wrong_field_is_named_without_the_secret(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_client(**fields)
    assert message in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_ipv6_address_in_uri_keeps_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CF", f"vectorize://:{TOKEN}@[::1]:8787/client%2Fv4?account_id={ACCOUNT_ID}")
    assert VectorizeHook("cf").get_conn().credentials.base_url == "https://[::1]:8787/client/v4"


# ---------------------------------------------------------------- extra fields


class UncheckedConnection:
    """A connection with unchecked extra fields, as from an environment variable or an old database."""

    conn_id, conn_type, host, schema, login, port = "cf", "vectorize", None, None, None, None
    password = TOKEN

    def __init__(self, extra: Any) -> None:
        self.extra = extra
        self.extra_dejson: Any = None


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (f"account_id={ACCOUNT_ID}", "are not JSON: Expecting value at line 1, column 1"),
        ('{"account_id": "x"', "are not JSON: Expecting ',' delimiter at line 1, column 19"),
        (json.dumps(json.dumps({"account_id": ACCOUNT_ID})), "are JSON inside a JSON string. Remove the outer quotes."),
        (json.dumps(["account_id", ACCOUNT_ID]), 'must be a JSON object such as {"account_id": "…"}, not list'),
        ("null", "not null"),
        ("7", "not int"),
        ('"account_id"', "The extra fields"),
        ("true", "not bool"),
    ],
)
def test_extra_that_is_not_a_json_object_is_refused(extra: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_connection(UncheckedConnection(extra))
    assert 'of the connection "cf"' in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("extra", [None, ""])
def test_empty_extra_reports_missing_account_id(extra: Any) -> None:
    with pytest.raises(ConfigError, match="There is no account id"):
        read_connection(UncheckedConnection(extra))


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
def test_unknown_extra_field_warns_once_and_suggests_a_known_field(
    name: str, hint: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_vectorize.hooks.connection._logged_warnings", set())
    for _ in range(3):
        make_client({name: "s3cret-value"})
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [warning for warning in warnings if name in warning] == [
        f'The extra field "{name}" of the connection "cf" is unknown and is ignored. {hint}'
    ]
    assert "s3cret-value" not in caplog.text


def test_known_extra_fields_and_airflows_own_do_not_warn() -> None:
    extra = {"account_id": ACCOUNT_ID, "timeout": 5, "retry_seconds": 5, "verify": True, "__extra__": "{}"}
    assert read_connection(UncheckedConnection(json.dumps(extra))).warnings == ()


def test_host_without_scheme_warns_that_https_is_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_vectorize.hooks.connection._logged_warnings", set())
    make_client(host="gateway.example")
    warning = 'The API base URL of the connection "cf" has no scheme, so https://gateway.example/client/v4 is used.'
    assert warning in caplog.text
    for fields in ({"host": "https://gateway.example"}, {"host": "gateway.example", "schema": "http"}, {}):
        caplog.clear()
        make_client(**fields)
        assert "no scheme" not in caplog.text


@pytest.mark.parametrize("value", [True, [1], "1e999", 10**400])
def test_number_field_of_wrong_type_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="must be a number"):
        make_client({"retry_seconds": value})


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 7])
def test_verify_of_wrong_type_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="must be true, false, or the path"):
        make_client({"verify": value})


# ---------------------------------------------------------------- connections that are not found


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_unreadable_environment_variable_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CX", text)
    with pytest.raises(ConfigError) as caught:
        VectorizeHook("cx").list_indexes()
    assert "The environment variable AIRFLOW_CONN_CX does not contain a connection" in str(caught.value)
    assert message in str(caught.value)
    assert "s3c" not in str(caught.value)


def test_missing_connection_error_says_how_to_create_it() -> None:
    with pytest.raises(ConfigError, match='The connection "nowhere" does not exist') as caught:
        VectorizeHook("nowhere").list_indexes()
    if AIRFLOW_V_3_0_PLUS:
        assert "Outside of a task, Airflow 3 does not read connections from its database" in str(caught.value)
        assert "AIRFLOW_CONN_NOWHERE" in str(caught.value)
    else:
        assert "Create it in Airflow under Admin > Connections" in str(caught.value)


def test_missing_connection_in_a_server_process_says_to_create_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    assert "Create it in Airflow under Admin > Connections" in str(missing_connection("nowhere"))


def test_reading_a_connection_logs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client = make_client()
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(client.credentials)
