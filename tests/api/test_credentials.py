"""Validation of credentials before anything is sent. No message and no representation shows a secret."""

from __future__ import annotations

import pytest

from airflow_provider_vectorize.api.credentials import BASE_URL, Credentials
from airflow_provider_vectorize.errors import ConfigError

ACCOUNT = "0123456789abcdef0123456789ABCDEF"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"secret": ""}, "There is no API token in the credentials"),
        ({"secret": " \n"}, "There is no API token"),
        ({"secret": "", "email": "a@b.example"}, "There is no Global API key"),
        ({"secret": "two words"}, "has spaces or characters that a token cannot have"),
        ({"secret": "t\u00f6ken"}, "has spaces or characters"),
        ({"secret": "new\nline"}, "has spaces or characters"),
        ({"account_id": ""}, "There is no account id"),
        ({"account_id": "abc"}, "'abc' in the credentials is not 32 hexadecimal digits"),
        ({"account_id": "g" * 32}, "is not 32 hexadecimal digits"),
        ({"account_id": "../" + "a" * 29}, "is not 32 hexadecimal digits"),
        ({"email": "somebody"}, "is not an e-mail address"),
        ({"email": "a@b.example\r\nX-Evil: 1"}, "is not an e-mail address"),
        ({"base_url": "api.cloudflare.com/client/v4"}, "must look like"),
        ({"base_url": "ftp://api.cloudflare.com"}, "must look like"),
        ({"base_url": "https://"}, "must look like"),
        ({"base_url": "https://host:port/"}, "must look like"),
        ({"base_url": "https://[::1/client"}, "must look like"),
        ({"base_url": "https://api.cloud flare.com"}, "must look like"),
        ({"base_url": "https://host/client/v4?x=1"}, "must look like"),
        ({"base_url": "https://host/client/v4#x"}, "must look like"),
        ({"base_url": "https://user:pass@host/client/v4"}, "must not contain a user or a password"),
    ],
)
def test_credentials_invalid_value_raises_without_the_secret(fields: dict[str, str], message: str) -> None:
    given = {"account_id": ACCOUNT, "secret": "s3cret-t0ken"} | fields
    with pytest.raises(ConfigError) as caught:
        Credentials(**given)
    assert message in str(caught.value)
    for secret in ("s3cret-t0ken", "pass@", "words", "\u00f6ken"):
        assert secret not in str(caught.value)


TOKEN = "cfut_" + "aB3-" * 12


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"secret": "", "email": TOKEN},
            'the field "E-mail" (login) does not hold an e-mail address. If it holds the token',
        ),
        ({"secret": "", "account_id": TOKEN}, 'The field "Account ID" seems to hold it.'),
        ({"secret": "me@corp.example"}, "holds an e-mail address instead of the token"),
        ({"secret": "me@corp.example", "email": TOKEN}, "seem to be swapped. The second field holds an e-mail address"),
        ({"secret": "me@corp.example", "email": "0" * 37}, "seem to be swapped"),
        ({"secret": ACCOUNT}, "seems to hold an account id."),
        ({"secret": ACCOUNT, "account_id": TOKEN}, 'It and the field "Account ID" seem to be swapped.'),
        ({"secret": ACCOUNT, "account_id": ""}, "seems to hold an account id."),
        ({"secret": TOKEN, "account_id": TOKEN}, "It seems to be an API token."),
        ({"secret": TOKEN, "account_id": "v1.0-abcdef0123456789"}, "It seems to be an API token."),
        ({"secret": TOKEN, "account_id": "someone@corporation.example"}, "It is an e-mail address."),
        (
            {"secret": TOKEN, "account_id": f"https://dash.cloudflare.com/{ACCOUNT}/workers"},
            "Enter only the 32 characters after dash.cloudflare.com/ of the address.",
        ),
        ({"secret": TOKEN, "account_id": "a" * 40}, "is not 32 hexadecimal digits. It has 40 characters."),
        ({"secret": TOKEN, "base_url": f"https://{TOKEN}"}, "seems to hold a token or an account id"),
        ({"secret": TOKEN, "base_url": f"https://{TOKEN}/client/v4"}, "seems to hold a token or an account id"),
        ({"secret": TOKEN, "base_url": f"https://{ACCOUNT}/client/v4"}, "seems to hold a token or an account id"),
    ],
)
def test_credentials_swapped_fields_raise_without_values(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Credentials(**{"account_id": ACCOUNT} | fields)
    assert message in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "@corp" not in str(caught.value)


@pytest.mark.parametrize("token", ["a" * 40, "cfut_" + "b" * 48, "cfat_x", "cfk_y", "x"])
def test_credentials_accept_any_length_and_prefix_of_token(token: str) -> None:
    assert Credentials(ACCOUNT, token).secret == token


def test_credentials_strip_surrounding_spaces() -> None:
    credentials = Credentials(f" {ACCOUNT}\n", " token\n", base_url=f" {BASE_URL}/ ")
    assert (credentials.account_id, credentials.secret, credentials.base_url) == (ACCOUNT, "token", BASE_URL)


def test_credentials_ignore_trailing_slash_of_base_url() -> None:
    urls = {Credentials(ACCOUNT, "t", base_url=url).account_url for url in ("", BASE_URL, BASE_URL + "/")}
    assert urls == {f"{BASE_URL}/accounts/{ACCOUNT}"}


def test_credentials_repr_hides_the_secret() -> None:
    assert "s3cret" not in repr(Credentials(ACCOUNT, "s3cret", email="a@b.example"))
