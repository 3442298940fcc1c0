"""Authentication: the two forms of credentials, and what they permit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_vectorize.local.engine.problems import (
    MalformedAuthorization,
    NoCredentials,
    NoPermission,
    WrongToken,
)

BEARER = re.compile(r"Bearer ([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Guard:
    """Accepted credentials. None accepts any well-formed account id or token."""

    account_id: str | None = None
    token: str | None = None
    read_only_token: str | None = None

    def authorize(self, headers: Mapping[str, str], account_id: str | None, *, writes: bool) -> None:
        """Raise the Problem with which the real API refuses these credentials, unless they are accepted."""
        secret = credential(headers)
        if secret is None:
            raise NoCredentials
        read_only = self.read_only_token is not None and secret == self.read_only_token
        if self.token is not None and secret != self.token and not read_only:
            raise WrongToken
        if read_only and writes:
            raise NoPermission
        if self.account_id is not None and account_id is not None and account_id != self.account_id:
            raise NoPermission


def credential(headers: Mapping[str, str]) -> str | None:
    """Return the token, or the API key next to an e-mail address, or None.

    :raises MalformedAuthorization: The ``Authorization`` header is not a bearer token.
    """
    authorization = headers.get("Authorization")
    if authorization is not None:
        match = BEARER.fullmatch(authorization.strip())
        if match is None:
            raise MalformedAuthorization
        return match[1]
    if headers.get("X-Auth-Email") and headers.get("X-Auth-Key"):
        return headers["X-Auth-Key"]
    return None
