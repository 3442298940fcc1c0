"""Who is asking, and where. The secret lives here and in the request's header, nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from airflow_provider_vectorize.errors import ConfigError

BASE_URL = "https://api.cloudflare.com/client/v4"
#: A shorter secret is none, and would take letters out of words.
LEAST_REDACTED = 8
_ACCOUNT_ID = re.compile(r"[0-9a-fA-F]{32}")
_EMAIL = re.compile(r"[^@\s/%]+@[^@\s/%]+\.[^@\s/%]+")
_TOKEN = re.compile(r"(cf[a-z]*_|v1\.0-)[\w-]{8,}|(?=.*\d)(?=.*[A-Z])(?=.*[a-z])[\w-]{30,}|[0-9a-f]{37}")
#: A longer text in the field of the account id may be a secret, and is not shown.
LONGEST_SHOWN = 20


@dataclass(frozen=True)
class Credentials(AuthBase):
    """Account and secret. As a ``requests`` auth it also keeps a ``.netrc`` from replacing the header.

    :param account_id: 32 hexadecimal digits.
    :param secret: an API token or, with an e-mail, the Global API key. Its length is nobody's business:
        Cloudflare has changed it.
    :param email: given with a Global API key only.
    :param base_url: the API's address; a slash at its end does not matter.
    :param origin: where they come from, for error messages.
    :raises ConfigError: one sentence that says what to correct.
    """

    account_id: str
    secret: str = field(repr=False)
    email: str | None = None
    base_url: str = BASE_URL
    origin: str = "the credentials"

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", (self.base_url or BASE_URL).strip().rstrip("/"))
        object.__setattr__(self, "account_id", (self.account_id or "").strip())
        object.__setattr__(self, "secret", (self.secret or "").strip())
        object.__setattr__(self, "email", (self.email or "").strip() or None)
        fault = _login_fault(self) or _secret_fault(self) or _account_fault(self)
        if fault:
            raise ConfigError(fault)
        host = self.base_url.partition("://")[2].partition("/")[0]
        if _looks_like_token(host) or _ACCOUNT_ID.fullmatch(host):
            raise ConfigError(
                f'The field "API base URL" (host) of {self.origin} seems to hold a token or an account id: '
                "leave it empty for Cloudflare's own API."
            )
        try:
            parts = urlsplit(self.base_url)
            well_formed = bool(parts.scheme in ("http", "https") and parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number, a bracket without its twin
            parts, well_formed = urlsplit(""), False
        if parts.username or parts.password:
            raise ConfigError(f"The API base URL in {self.origin} must not hold a user or a password.")
        if not well_formed or parts.query or parts.fragment or any(char.isspace() for char in self.base_url):
            raise ConfigError(f"The API base URL in {self.origin} has to look like {BASE_URL}.")

    @property
    def account_url(self) -> str:
        """Everything of the account's Vectorize begins with this."""
        return f"{self.base_url}/accounts/{self.account_id}/vectorize/v2"

    def redact(self, text: str) -> str:
        """Remove the secret from a text that somebody else wrote."""
        return text.replace(self.secret, "…") if len(self.secret) >= LEAST_REDACTED else text

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self.email:
            request.headers["X-Auth-Email"] = self.email
            request.headers["X-Auth-Key"] = self.secret
        else:
            request.headers["Authorization"] = f"Bearer {self.secret}"
        return request


def _looks_like_token(text: str) -> bool:
    return bool(_TOKEN.fullmatch(text))


def _login_fault(found: Credentials) -> str:
    """Return what is wrong with the e-mail, which only a Global API key needs."""
    email, origin = found.email, found.origin
    if not email or ("@" in email and all(32 < ord(char) < 127 for char in email)):
        return ""
    if not found.secret:
        return (
            f'There is no API token in {origin}, and the field "E-mail" (login) holds no e-mail address. '
            'If it holds the token, move it into the field "API token" (password).'
        )
    if _EMAIL.fullmatch(found.secret):
        return (
            f'The fields "E-mail" (login) and "API token" (password) of {origin} seem to be swapped: '
            "the second holds an e-mail address."
        )
    return (
        f"The login of {origin} is no e-mail address: leave it empty for an API token. "
        "Only a Global API key needs the e-mail of its owner."
    )


def _secret_fault(found: Credentials) -> str:
    secret, account_id, origin = found.secret, found.account_id, found.origin
    if not secret:
        what = "Global API key" if found.email else "API token"
        moved = ' The field "Account ID" seems to hold it.' if _looks_like_token(account_id) else ""
        return f'There is no {what} in {origin}: put it into the field "API token" (password).{moved}'
    if _EMAIL.fullmatch(secret):
        return (
            f'The field "API token" (password) of {origin} holds an e-mail address: the token belongs there. '
            'An e-mail address belongs into the field "E-mail" (login), and only with a Global API key.'
        )
    if any(not 32 < ord(char) < 127 for char in secret):
        return f"The API token in {origin} has spaces or characters that no token has: paste it again."
    if _ACCOUNT_ID.fullmatch(secret) and (secret == account_id or not _ACCOUNT_ID.fullmatch(account_id)):
        swapped = ' It and the field "Account ID" seem to be swapped.' if _looks_like_token(account_id) else ""
        return f'The field "API token" (password) of {origin} seems to hold an account id.{swapped}'
    return ""


def _account_fault(found: Credentials) -> str:
    account_id, origin = found.account_id, found.origin
    if not account_id:
        return (
            f"There is no account id in {origin}: put the 32 characters that the dashboard's address "
            'begins with (dash.cloudflare.com/<account id>) into the field "Account ID".'
        )
    if _ACCOUNT_ID.fullmatch(account_id):
        return ""
    if len(account_id) <= LONGEST_SHOWN and account_id.isprintable() and account_id != found.secret:
        return f"The account id {account_id!r} in {origin} is not 32 hexadecimal digits."
    if account_id == found.secret or _looks_like_token(account_id):
        kind = "It seems to be an API token."
    elif _EMAIL.fullmatch(account_id):
        kind = "It is an e-mail address."
    elif "/" in account_id:
        kind = "Of an address in the dashboard, only the 32 characters after dash.cloudflare.com/ belong there."
    else:
        kind = f"It has {len(account_id)} characters."
    return f"The account id in {origin} is not 32 hexadecimal digits. {kind}"
