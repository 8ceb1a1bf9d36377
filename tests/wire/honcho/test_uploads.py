"""Files as messages, and webhooks."""

from __future__ import annotations

import hmac
import json

import httpx
import pytest

from antiphon.api.honcho import uploads
from antiphon.domain import limits
from antiphon.domain.webhooks import plain_signature_of
from tests.wire.honcho.caller import Caller, first_fault, text_of

URL = "/sessions/s/messages/upload"


def pdf(text: str) -> bytes:
    """The smallest document of one page with that text."""
    stream = f"BT /F1 12 Tf 10 10 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj%s endobj\n" % (number, content)
    start = len(made)
    made += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return made + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % start


async def send(w: Caller, content: bytes, kind: str, **fields: str) -> httpx.Response:
    files = {"file": ("n", content, kind)}
    data = {"peer_id": "ann", **fields}
    return await w.http.post(w.root + URL, files=files, data=data, headers=w.headers)


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (b"from a file", "text/plain", "from a file"),
        ("Grüße".encode("latin-1"), "text/plain", "Grüße"),
        ("Grüße".encode("utf-16"), "text/plain; charset=utf-16", "Grüße"),
        (b'{ "a" : [1,\n2] }', "application/json", '{"a": [1, 2]}'),
        (b'a,"b\r\nc"\r\nd,e\r\n', "text/csv", 'a,"b\r\nc"\r\nd,e\r\n'),
        (pdf("hello kea"), "application/pdf", "[Page 1]\nhello kea"),
        (b"", "text/plain", ""),
        (b"", "application/json", ""),
        (b"", "application/pdf", ""),
    ],
)
async def test_the_text_of_a_file_becomes_a_message(w: Caller, content: bytes, kind: str, text: str) -> None:
    answer = await send(w, content, kind, metadata='{"f":1}', created_at="2024-01-02T03:04:05Z")
    assert answer.status_code == 201, answer.text
    (message,) = answer.json()
    assert (message["content"], message["peer_id"], message["metadata"]) == (
        text,
        "ann",
        {"f": 1},
    )
    assert message["created_at"] == "2024-01-02T03:04:05Z"


async def test_metadata_and_time_that_mean_nothing_are_left_out(w: Caller) -> None:
    for metadata in ("[1]", "{", '"x"'):
        (message,) = (await send(w, b"x", "text/plain", metadata=metadata, created_at="soon")).json()
        assert message["metadata"] == {}


async def test_what_cannot_be_read_is_refused(w: Caller) -> None:
    text_of(await send(w, b"x", "image/png"), 415)
    text_of(await send(w, b"no pdf", "application/pdf"), 422)
    text_of(await send(w, b"{", "application/json"), 422)
    text_of(await send(w, b"x" * (limits.HONCHO_UPLOAD_BYTES + 1), "text/plain"), 413)
    text_of(await send(w, b"x", "text/plain", peer_id="no id"), 422)
    fault = first_fault(await w.post(URL, {"a": 1}))
    assert (fault["type"], fault["loc"]) == ("missing", ["body", "file"])
    assert await w.texts("s") == []


def test_a_long_text_is_cut_where_it_has_breaks() -> None:
    assert uploads.cut("aa\n\nbb cc", 6) == ["aa\n\n", "bb cc"]
    assert uploads.cut("aaaa bbbb", 5) == ["aaaa ", "bbbb"]
    assert uploads.cut("a" * 12, 5) == ["a" * 5, "a" * 5, "a" * 2]
    assert uploads.cut("", 5) == [""]
    text = "One. Two three.\nFour\n\nFive " * 20
    pieces = uploads.cut(text, 30)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 30


async def test_a_file_of_the_largest_size_is_taken(w: Caller) -> None:
    answer = await send(w, b"word and\n" * (limits.HONCHO_UPLOAD_BYTES // 9), "text/plain")
    assert answer.status_code == 201
    pieces = [message["content"] for message in answer.json()]
    assert "".join(pieces) == "word and\n" * (limits.HONCHO_UPLOAD_BYTES // 9)


async def test_a_file_is_stored_whole_or_not_at_all(w: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HONCHO_CONTENT_CHARACTERS", 10)
    monkeypatch.setattr(limits, "MESSAGES_PER_CHAT", 200)
    stored = (await send(w, b"x" * 1_500, "text/plain")).json()
    assert [message["content"] for message in stored] == ["x" * 10] * 150
    assert len({message["created_at"] for message in stored}) == 1
    text_of(await send(w, b"y" * 1_500, "text/plain"), 409)
    assert (await w.post("/sessions/s/messages/list")).json()["total"] == 150
    monkeypatch.setattr(limits, "HONCHO_UPLOAD_MESSAGES", 3)
    text_of(await send(w, b"z" * 31, "text/plain"), 413)
    assert (await send(w, b"z" * 30, "text/plain")).status_code == 201
    assert await w.texts("s", page=16, size=10) == ["z" * 10] * 3


async def test_nothing_is_derived_of_a_file_that_says_so(w: Caller) -> None:
    for configuration in ('{"reasoning":{"enabled":false}}', "{", '{"reasoning":{"enabled":"perhaps"}}', "[]"):
        assert (await send(w, b"x", "text/plain", configuration=configuration)).status_code == 201
    assert (await w.get("/queue/status")).json()["total_work_units"] == 3


async def test_webhooks_are_one_an_address_and_ten_at_most(w: Caller) -> None:
    made = await w.post("/webhooks", {"url": "https://example.org/0"})
    assert (made.status_code, len(made.json()["id"])) == (201, 21)
    again = await w.post("/webhooks", {"url": "https://example.org/0"})
    assert (again.status_code, again.json()) == (200, made.json())
    private = ("http://127.0.0.1/", "http://[::1]/", "http://10.0.0.1/x", "http://127.1/", "http://2130706433/")
    for bad in ("ftp://example.org", "https://", "http://0x7f.1/", *private):
        text_of(await w.post("/webhooks", {"url": bad}), 422)
    assert first_fault(await w.post("/webhooks", {"url": "https://e.org/" + "x" * 2_048}))["type"] == "string_too_long"
    for number in range(1, 10):
        assert (await w.post("/webhooks", {"url": f"https://example.org/{number}"})).status_code == 201
    text_of(await w.post("/webhooks", {"url": "https://example.org/10"}), 409)
    assert (await w.get("/webhooks", size=3)).json()["total"] == 10
    test = await w.get("/webhooks/test")
    assert (test.status_code, test.content) == (200, b"null")
    assert (await w.delete(f"/webhooks/{made.json()['id']}")).status_code == 204
    assert "not found" in text_of(await w.delete(f"/webhooks/{made.json()['id']}"), 404).lower()


def test_a_delivery_is_signed_over_its_body() -> None:
    body = json.dumps({"type": "test.event"}).encode()
    assert plain_signature_of("secret", body) == hmac.digest(b"secret", body, "sha256").hex()


async def test_a_file_says_whether_it_is_derived_from(w: Caller) -> None:
    await w.new_session("s", configuration={"reasoning": {"enabled": False}})
    for enabled, count in (("null", 0), ("false", 0), ("true", 1)):
        sent = await send(w, b"text", "text/plain", configuration=f'{{"reasoning": {{"enabled": {enabled}}}}}')
        assert sent.status_code == 201
        assert (await w.get("/queue/status")).json()["completed_work_units"] == count
