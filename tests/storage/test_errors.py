"""Tests of the messages for errors of stores and their libraries."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("InvalidObjectState", "The operation is not valid for the object's storage class", "is archived"),
        ("ExpiredToken", "The provided token has expired.", "credentials of the storage connection have expired"),
        ("RequestTimeTooSkewed", "The difference is too large.", "the clock of this machine is wrong"),
        ("AccessDenied", "not authorized to perform: kms:Decrypt", "encrypted with a key"),
        ("KMS.DisabledException", "the key is disabled", "encrypted with a key"),
        ("InvalidAccessKeyId", "does not exist in our records", "refuses the credentials"),
        (
            "AccessDenied",
            "Access Denied",
            "cannot be read: permission denied. Check the storage connection and its permissions.",
        ),
        ("TeapotError", "short and stout", "cannot be read. The storage reported: TeapotError: short and stout."),
    ],
)
def test_error_message_depends_on_store_code_and_quotes_store(code: str, message: str, expected: str) -> None:
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    from airflow_provider_vectorize.storage.errors import error_message

    error = translate_boto_error(ClientError({"Error": {"Code": code, "Message": message}}, "GetObject"))
    text = error_message(error, "s3://b/k")
    assert expected in text
    assert code in text
    assert message.rstrip(".") in text


def test_raise_storage_errors_library_error_names_object() -> None:
    import aiohttp

    from airflow_provider_vectorize.errors import SourceError
    from airflow_provider_vectorize.storage.errors import raise_storage_errors

    for error, expected in [
        (aiohttp.ClientPayloadError("not enough data"), "ClientPayloadError: not enough data"),
        (FileNotFoundError(2, "No such file or directory", "/etc/ca.pem"), "No such file or directory: /etc/ca.pem"),
        (RuntimeError("This class is not fork-safe"), "RuntimeError: This class is not fork-safe"),
        (ValueError("embedded null byte"), "ValueError: embedded null byte"),
    ]:
        with pytest.raises(SourceError) as caught, raise_storage_errors("s3://b/k"):
            raise error
        assert str(caught.value) == f"s3://b/k cannot be read: {expected}."
        assert caught.value.uri == "s3://b/k"
