"""Account, secret and API address of a client. The secret is kept only here and in the headers of requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from airflow_provider_vectorize.errors import ConfigError

BASE_URL = "https://api.cloudflare.com/client/v4"
#: Minimum length of a secret that is redacted. Redacting a shorter one would remove parts of ordinary words.
MIN_REDACTED_CHARACTERS = 8
_ACCOUNT_ID = re.compile(r"[0-9a-fA-F]{32}")
_EMAIL = re.compile(r"[^@\s/%]+@[^@\s/%]+\.[^@\s/%]+")
_TOKEN = re.compile(r"(cf[a-z]*_|v1\.0-)[\w-]{8,}|(?=.*\d)(?=.*[A-Z])(?=.*[a-z])[\w-]{30,}|[0-9a-f]{37}")
#: Maximum length of a wrong account id that messages show. A longer text may be a secret.
MAX_SHOWN_CHARACTERS = 20


@dataclass(frozen=True)
class Credentials(AuthBase):
    """Account, secret and API address.

    This is an ``AuthBase`` of ``requests``, so that a ``.netrc`` file cannot replace the header.

    :param account_id: Account id, 32 hexadecimal digits.
    :param secret: API token, or the Global API key if ``email`` is given. The length is not validated, because
        Cloudflare has changed it before.
    :param email: E-mail address of the owner of the Global API key. Default: none.
    :param base_url: Address of the API. A trailing slash is ignored.
    :param origin: Origin of the values, such as ``the connection "x"``, for error messages.
    :raises ConfigError: A value is missing or malformed. The message contains no secret.
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
                f'The field "API base URL" (host) of {self.origin} seems to hold a token or an account id. '
                "Leave it empty for Cloudflare's own API."
            )
        try:
            parts = urlsplit(self.base_url)
            well_formed = bool(parts.scheme in ("http", "https") and parts.hostname) and parts.port != 0
        except ValueError:  # The port is not a number, or a bracket is not closed.
            parts, well_formed = urlsplit(""), False
        if parts.username or parts.password:
            raise ConfigError(f"The API base URL in {self.origin} must not contain a user or a password.")
        if not well_formed or parts.query or parts.fragment or any(char.isspace() for char in self.base_url):
            raise ConfigError(f"The API base URL in {self.origin} must look like {BASE_URL}.")

    @property
    def account_url(self) -> str:
        """Base URL of all endpoints of the account."""
        return f"{self.base_url}/accounts/{self.account_id}"

    def redact(self, text: str) -> str:
        """Remove the secret from a text that comes from a server."""
        return text.replace(self.secret, "…") if len(self.secret) >= MIN_REDACTED_CHARACTERS else text

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self.email:
            request.headers["X-Auth-Email"] = self.email
            request.headers["X-Auth-Key"] = self.secret
        else:
            request.headers["Authorization"] = f"Bearer {self.secret}"
        return request


def _looks_like_token(text: str) -> bool:
    return bool(_TOKEN.fullmatch(text))


def _login_fault(credentials: Credentials) -> str:
    """Return what is wrong with the e-mail address, which only a Global API key needs, or an empty text."""
    email, origin = credentials.email, credentials.origin
    if not email or ("@" in email and all(32 < ord(char) < 127 for char in email)):
        return ""
    if not credentials.secret:
        return (
            f'There is no API token in {origin}, and the field "E-mail" (login) does not hold an e-mail address. '
            'If it holds the token, move it into the field "API token" (password).'
        )
    if _EMAIL.fullmatch(credentials.secret):
        return (
            f'The fields "E-mail" (login) and "API token" (password) of {origin} seem to be swapped. '
            "The second field holds an e-mail address."
        )
    return (
        f"The login of {origin} is not an e-mail address. Leave it empty for an API token. "
        "Only a Global API key needs the e-mail address of its owner."
    )


def _secret_fault(credentials: Credentials) -> str:
    secret, account_id, origin = credentials.secret, credentials.account_id, credentials.origin
    if not secret:
        kind = "Global API key" if credentials.email else "API token"
        hint = ' The field "Account ID" seems to hold it.' if _looks_like_token(account_id) else ""
        return f'There is no {kind} in {origin}. Put it into the field "API token" (password).{hint}'
    if _EMAIL.fullmatch(secret):
        return (
            f'The field "API token" (password) of {origin} holds an e-mail address instead of the token. '
            'An e-mail address belongs in the field "E-mail" (login), and only with a Global API key.'
        )
    if any(not 32 < ord(char) < 127 for char in secret):
        return f"The API token in {origin} has spaces or characters that a token cannot have. Paste it again."
    if _ACCOUNT_ID.fullmatch(secret) and (secret == account_id or not _ACCOUNT_ID.fullmatch(account_id)):
        hint = ' It and the field "Account ID" seem to be swapped.' if _looks_like_token(account_id) else ""
        return f'The field "API token" (password) of {origin} seems to hold an account id.{hint}'
    return ""


def _account_fault(credentials: Credentials) -> str:
    account_id, origin = credentials.account_id, credentials.origin
    if not account_id:
        return (
            f"There is no account id in {origin}. Copy the 32 characters after dash.cloudflare.com/ from the "
            'address of the dashboard into the field "Account ID".'
        )
    if _ACCOUNT_ID.fullmatch(account_id):
        return ""
    if len(account_id) <= MAX_SHOWN_CHARACTERS and account_id.isprintable() and account_id != credentials.secret:
        return f"The account id {account_id!r} in {origin} is not 32 hexadecimal digits."
    if account_id == credentials.secret or _looks_like_token(account_id):
        kind = "It seems to be an API token."
    elif _EMAIL.fullmatch(account_id):
        kind = "It is an e-mail address."
    elif "/" in account_id:
        kind = "Enter only the 32 characters after dash.cloudflare.com/ of the address."
    else:
        kind = f"It has {len(account_id)} characters."
    return f"The account id in {origin} is not 32 hexadecimal digits. {kind}"
