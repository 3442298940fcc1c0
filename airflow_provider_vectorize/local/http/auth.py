"""Who is asking: the two forms of credentials, and whether they may do what they want to."""

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
    """What is accepted. None accepts any: then every well-formed pair of account id and token works."""

    account_id: str | None = None
    token: str | None = None
    read_only_token: str | None = None

    def admit(self, headers: Mapping[str, str], account_id: str | None, *, writes: bool) -> None:
        """Raises the Problem that the real API answers to such credentials."""
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
    """The token, or the API key that came with an e-mail; None when there is neither."""
    authorization = headers.get("Authorization")
    if authorization is not None:
        match = BEARER.fullmatch(authorization.strip())
        if match is None:
            raise MalformedAuthorization
        return match[1]
    if headers.get("X-Auth-Email") and headers.get("X-Auth-Key"):
        return headers["X-Auth-Key"]
    return None
