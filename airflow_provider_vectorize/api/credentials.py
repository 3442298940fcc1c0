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
        if not self.secret:
            what = "Global API key" if self.email else "API token"
            raise ConfigError(f'There is no {what} in {self.origin}: put it into the field "API token" (password).')
        if any(not 32 < ord(char) < 127 for char in self.secret):
            raise ConfigError(
                f"The API token in {self.origin} has spaces or characters that no token has: paste it again."
            )
        if self.email and ("@" not in self.email or any(not 32 < ord(char) < 127 for char in self.email)):
            raise ConfigError(
                f"The login of {self.origin} is no e-mail address: leave it empty for an API token. "
                "Only a Global API key needs the e-mail of its owner."
            )
        if not self.account_id:
            raise ConfigError(
                f"There is no account id in {self.origin}: put the 32 characters that the dashboard's address "
                'begins with (dash.cloudflare.com/<account id>) into the field "Account ID".'
            )
        if not _ACCOUNT_ID.fullmatch(self.account_id):
            raise ConfigError(f"The account id {self.account_id!r} in {self.origin} is not 32 hexadecimal digits.")
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
