"""Webhooks on our own wire."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import httpx
import pytest

from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.domain.ids import new_public_id, new_uid7, text_of
from antiphon.domain.webhooks import DELETION_DONE, MESSAGE_APPENDED
from tests.conftest import MakeKey

ROOT = "/antiphon/v1/webhooks"
URL = "https://example.com/hook?token=t"
OWN = "whsec_" + b64encode(b"k" * 32).decode()
NEW = {"url": URL, "events": [DELETION_DONE]}


@pytest.fixture
async def key(make_key: MakeKey) -> dict[str, str]:
    """The headers of a key of the tenant `t1`."""
    return {"authorization": f"Bearer {await make_key('t1')}"}


async def made(http: httpx.AsyncClient, key: dict[str, str], **more: Any) -> dict[str, Any]:
    answer = await http.post(ROOT, headers=key, json={**NEW, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def tell(instance: Instance, *names: str) -> None:
    tenant = await instance.tenants.get("t1")
    for name in names:
        await instance.store.webhooks.enqueue(tenant.id, DELETION_DONE, json.dumps({"name": name}))


async def test_its_secret_is_shown_once(http: httpx.AsyncClient, key: dict[str, str], instance: Instance) -> None:
    webhook = await made(http, key, events=[MESSAGE_APPENDED, DELETION_DONE, MESSAGE_APPENDED])
    secret = webhook.pop("secret")
    assert webhook["id"].startswith("whk_")
    assert webhook["created_at"].endswith("Z")
    assert webhook == {**webhook, "url": URL, "events": [DELETION_DONE, MESSAGE_APPENDED], "disabled_at": None}
    assert (await http.get(f"{ROOT}/{webhook['id']}", headers=key)).json() == webhook
    assert (await http.get(ROOT, headers=key)).json() == {"items": [webhook], "next": None}
    tenant = await instance.tenants.get("t1")
    (stored,) = await instance.webhooks.list(tenant.id)
    assert secret.removeprefix("whsec_") not in stored.secret, "it is not kept"
    assert (await made(http, key, secret=OWN))["secret"] == OWN


async def test_they_come_in_pages(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    ids = [(await made(http, key))["id"] for _ in range(3)]
    first = (await http.get(f"{ROOT}?limit=2", headers=key)).json()
    rest = (await http.get(f"{ROOT}?limit=2&cursor={first['next']}", headers=key)).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == ids
    assert rest["next"] is None
    wrong = await http.get(f"{ROOT}?cursor=x", headers=key)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")


async def test_it_is_deleted(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    one, two = await made(http, key), await made(http, key)
    gone = await http.delete(f"{ROOT}/{one['id']}", headers=key)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await http.delete(f"{ROOT}/{one['id']}", headers=key)).status_code == 404
    assert [item["id"] for item in (await http.get(ROOT, headers=key)).json()["items"]] == [two["id"]]


async def test_deliveries_are_seen_and_sent_again(
    http: httpx.AsyncClient, key: dict[str, str], instance: Instance
) -> None:
    webhook = await made(http, key)
    await tell(instance, *"12345")
    place = f"{ROOT}/{webhook['id']}/deliveries"
    first = (await http.get(place, headers=key, params={"limit": 2})).json()
    second = (await http.get(place, headers=key, params={"limit": 3, "cursor": first["next"]})).json()
    assert [item["body"]["data"]["name"] for item in first["items"] + second["items"]] == list("54321")
    assert second["next"] is None
    item = second["items"][-1]
    assert item["id"].startswith("evt_")
    waiting = {"event": DELETION_DONE, "state": "waiting", "attempts": 0, "last_error": None, "last_status": None}
    assert item == {**item, **waiting, "settled_at": None}
    again = await http.post(f"{place}/{item['id']}/resend", headers=key)
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (202, item["id"], "waiting")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"url": "ftp://example.com"}, "invalid_input", "url"),
        ({"url": "http://u:p@example.com/"}, "invalid_input", "url"),
        ({"url": 1}, "invalid_input", "url"),
        ({"url": "http://\ud800/"}, "malformed_body", None),
        ({"events": []}, "invalid_input", "events"),
        ({"events": ["chat.deleted"]}, "invalid_input", "events"),
        ({"secret": "short"}, "invalid_input", "secret"),
        ({"name": "x"}, "unknown_field", "name"),
    ],
)
async def test_what_is_refused(
    http: httpx.AsyncClient, key: dict[str, str], change: dict[str, Any], code: str, field: str | None
) -> None:
    answer = await http.post(
        ROOT, headers={**key, "content-type": "application/json"}, content=json.dumps({**NEW, **change})
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, code)
    assert [error["field"] for error in problem.get("errors", [])] == ([field] if field else [])
    assert "u:p" not in answer.text


async def test_one_more_than_a_tenant_may_have(
    http: httpx.AsyncClient, key: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEBHOOKS_PER_TENANT", 1)
    await made(http, key)
    answer = await http.post(ROOT, headers=key, json=NEW)
    assert (answer.status_code, answer.json()["code"]) == (409, "limit_exceeded")


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "é"}])
async def test_a_page_that_there_is_not(http: httpx.AsyncClient, key: dict[str, str], query: dict[str, str]) -> None:
    webhook = await made(http, key)
    answer = await http.get(f"{ROOT}/{webhook['id']}/deliveries", headers=key, params=query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, next(iter(query)))


async def test_a_cursor_belongs_to_its_list(http: httpx.AsyncClient, key: dict[str, str], instance: Instance) -> None:
    one, two = await made(http, key), await made(http, key)
    await tell(instance, "1", "2")
    page = (await http.get(f"{ROOT}/{one['id']}/deliveries", headers=key, params={"limit": 1})).json()
    answer = await http.get(f"{ROOT}/{two['id']}/deliveries", headers=key, params={"cursor": page["next"]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")


async def test_what_is_anothers_is_not_there(
    http: httpx.AsyncClient, key: dict[str, str], make_key: MakeKey, instance: Instance
) -> None:
    webhook = await made(http, key)
    await tell(instance, "1")
    delivery = (await http.get(f"{ROOT}/{webhook['id']}/deliveries", headers=key)).json()["items"][0]["id"]
    foreign = {"authorization": f"Bearer {await make_key('t2')}"}
    unknown = f"whk_{text_of(new_uid7())}"
    bodies = set()
    for who, name in ((foreign, webhook["id"]), (key, unknown), (key, "x"), (key, webhook["id"][4:])):
        one = f"{ROOT}/{name}"
        answers = [
            await http.get(one, headers=who),
            await http.delete(one, headers=who),
            await http.get(f"{one}/deliveries", headers=who),
            await http.post(f"{one}/deliveries/{delivery}/resend", headers=who),
        ]
        assert [answer.status_code for answer in answers] == [404] * 4
        bodies |= {json.dumps({**answer.json(), "request_id": ""}) for answer in answers}
    assert len(bodies) == 1
    assert (await http.get(ROOT, headers=foreign)).json()["items"] == []
    resend = await http.post(f"{ROOT}/{webhook['id']}/deliveries/evt_{text_of(new_uid7())}/resend", headers=key)
    assert resend.status_code == 404


async def test_only_keys_of_a_whole_tenant_reach_them(http: httpx.AsyncClient, make_key: MakeKey) -> None:
    for scope, status in (("admin", 200), ("tenant", 200), ("participant", 403)):
        headers = {"authorization": f"Bearer {await make_key('t1', 'ann', scope)}"}
        assert (await http.get(ROOT, headers=headers)).status_code == status
        assert (await http.post(ROOT, headers=headers, json={**NEW, "x": 1})).status_code == (
            400 if status == 200 else 403
        )
    assert (await http.get(ROOT)).status_code == 401


async def test_a_message_on_any_wire_is_told(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    webhook = await made(http, key, events=[MESSAGE_APPENDED])
    http.event_hooks = {}  # the document is of one wire
    session = f"/v3/workspaces/t1/sessions/{new_public_id()}"
    await http.post(session.rpartition("/")[0], headers=key, json={"id": session.rpartition("/")[2]})
    said = {"messages": [{"content": "SECRET", "peer_id": "SECRET"}]}
    assert (await http.post(f"{session}/messages", headers=key, json=said)).status_code == 201
    page = (await http.get(f"{ROOT}/{webhook['id']}/deliveries", headers=key)).json()
    ((message,),) = [item["body"]["data"]["messages"] for item in page["items"]]
    assert (message["seq"], message["role"]) == (1, "user")
    assert "SECRET" not in json.dumps(page)


async def test_one_that_is_not_what_was_seen_stays(http: httpx.AsyncClient, key: dict[str, str]) -> None:
    place = f"{ROOT}/{(await made(http, key))['id']}"
    tag = (await http.get(place, headers=key)).headers["etag"]
    refused = await http.delete(place, headers={**key, "if-match": '"of another"'})
    assert (refused.status_code, refused.json()["code"]) == (412, "changed")
    assert (await http.delete(place, headers={**key, "if-match": tag})).status_code == 204
