"""Signatures as Standard Webhooks want them, and secrets."""

from __future__ import annotations

import time
from base64 import b64encode

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from antiphon.domain.ids import new_uid7
from antiphon.domain.webhooks import (
    EVENTS,
    Webhook,
    event_body,
    event_id,
    made_from,
    parse_secret,
    plain_id,
    secret_of,
    signature_of,
)


def whsec(size: int) -> str:
    return "whsec_" + b64encode(bytes(range(size))).decode()


@pytest.mark.parametrize("size", [24, 25, 32, 64])
def test_the_published_library_accepts_what_is_signed(size: int) -> None:
    secret, name, seconds = whsec(size), event_id(new_uid7()), int(time.time())
    body = event_body("deletion.done", 1_000_000, '{"ü":"🦜"}')
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature_of(secret, name, seconds, body.encode()),
    }
    expected = {"type": "deletion.done", "timestamp": "1970-01-01T00:00:01Z", "data": {"ü": "🦜"}}
    assert Verifier(secret).verify(body, headers) == expected
    for changed in ({"webhook-id": "evt_x"}, {"webhook-timestamp": str(seconds - 1)}):
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(body, {**headers, **changed})
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body + " ", headers)


def test_the_example_of_the_specification() -> None:
    signature = signature_of(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", whsec(23), whsec(65), whsec(24)[6:], "whsec_!" * 8, whsec(24) + "é", "WHSEC_" + whsec(24)[6:]],
)
def test_what_is_no_secret(text: str) -> None:
    assert parse_secret(text) is None


def test_a_secret_is_its_bytes() -> None:
    assert parse_secret(whsec(24)) == bytes(range(24))
    assert parse_secret(whsec(64)) == bytes(range(64))


def test_a_webhook_without_a_secret_has_one_of_its_own_from_the_instances() -> None:
    def made(tenant: bytes, webhook: bytes, instance: str, kept: str) -> str | None:
        return secret_of(Webhook(webhook, tenant, "https://a", EVENTS, kept, 0), instance)

    one, two = new_uid7(), new_uid7()
    secret = made(one, one, "first", made_from("first"))
    assert secret is not None
    assert parse_secret(secret) is not None
    assert "first" not in made_from("first")
    assert made(one, one, "first", made_from("first")) == secret
    assert len({secret, made(one, two, "first", made_from("first")), made(two, one, "first", made_from("first"))}) == 3
    assert made(one, one, "second", made_from("first")) is None, "never a wrong signature"
    assert made(one, one, "second", whsec(24)) == whsec(24)


def test_an_id_that_a_client_chose_is_not_told() -> None:
    assert plain_id("0193e0c6-7b1c-7cc0-8000-000000000000") == "0193e0c6-7b1c-7cc0-8000-000000000000"
    assert [plain_id(text) for text in ("ann@example.com", "", None)] == [None] * 3
