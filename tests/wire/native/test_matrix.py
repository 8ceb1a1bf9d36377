"""Every route by every scope on what is one's own, another tenant's, and nowhere: the whole table of who may what.

What is foreign cannot be told from what is nowhere, by status, headers or body; for a narrow key that holds for what
is its tenant's and not its own, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest

from antiphon.api.native.routes import Native
from antiphon.core.instance import Instance
from antiphon.domain import limits, times
from tests.conftest import MakeKey
from tests.wire.native.caller import PREFIX, Caller
from tests.wire.native.things import UNKNOWN, Things

SCOPES = ("admin", "tenant", "participant", "session")
NO_KEYS = ("none", "expired", "revoked")
NARROW = ("participant", "session")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Row(NamedTuple):
    """A request, and its statuses by SCOPES: on one's own, and on what is foreign or nowhere.

    `path`, `body` and `headers` hold placeholders. `reveals` are the scopes that may tell the foreign from the unknown:
    the administrator, where a tenant is named.
    """

    method: str
    path: str
    own: str
    other: str = ""
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})
    reveals: tuple[str, ...] = ()

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path.partition("?")[0]

    @property
    def names(self) -> set[str]:
        """What it names."""
        return set(_PLACEHOLDER.findall(f"{self.path} {self.body} {self.headers}")) - {"file"}

    @property
    def id(self) -> str:
        named = "-".join(sorted(self.names - set(_PLACEHOLDER.findall(self.path))))
        kind = self.body.get("target", {}).get("kind", "") if isinstance(self.body, dict) else ""
        return " ".join(part for part in (self.method, self.path, kind, named) if part)

    def cells(self) -> list[tuple[str, str]]:
        """Who asks, and for what."""
        whats = ("own", "foreign", "unknown") if self.names else ("own",)
        beside = [(scope, "beside") for scope in NARROW if self.names - {"tenant", "tenant_id"}]
        return [(who, what) for who in (*SCOPES, *NO_KEYS) for what in whats] + beside


ALL, STEWARDS, ADMINS = "200 200 200 200", "200 200 403 403", "200 403 403 403"
NOT_FOUND, KEPT_OUT = "404 404 404 404", "404 404 403 403"
CHAT, SESSION, DELETION = "/chats/{chat_id}", "/sessions/{session_id}", "/deletions/{deletion_id}"
WEBHOOK = "/webhooks/{webhook_id}"
TURN = {"message": {"text": "hello"}}
SAID = {"messages": [{"role": "user", "text": "hello"}]}


def target(kind: str, name: str) -> dict[str, Any]:
    return {"target": {"kind": kind, "id": f"{{{name}}}"}}


ROWS = [
    Row("GET", "/openapi.json", ALL),
    Row("GET", "/receipt-keys", ALL),
    Row("GET", "/whoami", ALL),
    Row("GET", "/whoami", ALL, "200 403 403 403", headers={"x-tenant": "{tenant}"}, reveals=("admin",)),
    Row("POST", "/tenants", "201 403 403 403", body={"name": "new"}),
    Row("GET", "/tenants", ADMINS),
    Row("GET", "/tenants/{tenant}", ADMINS, "200 403 403 403", reveals=("admin",)),
    Row(
        "PATCH",
        "/tenants/{tenant}",
        ADMINS,
        "200 403 403 403",
        body={"settings": {"model": "m"}},
        reveals=("admin",),
    ),
    Row("POST", "/keys", "201 201 403 403", body={"participant": "guest"}),
    Row("GET", "/keys", STEWARDS),
    Row("GET", "/keys/{key_id}", STEWARDS, KEPT_OUT),
    Row("DELETE", "/keys/{key_id}", "204 204 403 403", KEPT_OUT),
    Row("GET", "/participants", STEWARDS),
    Row("GET", "/participants/{participant}", STEWARDS, KEPT_OUT),
    Row("POST", "/sessions", "201 201 201 403", body={"title": "new"}),
    Row("GET", "/sessions", ALL),
    Row("GET", "/sessions?participant={participant}", ALL, ALL),
    Row("GET", SESSION, ALL, NOT_FOUND),
    Row("PATCH", SESSION, ALL, NOT_FOUND, body={"title": "another"}),
    Row("DELETE", f"{SESSION}?mode=cancel", "202 202 202 202", NOT_FOUND),
    Row("GET", f"{SESSION}/export", ALL, NOT_FOUND),
    Row("POST", "/chats", "201 201 201 403", body={"title": "new"}),
    Row("POST", "/chats", "201 201 201 201", NOT_FOUND, body={"session": "{session_id}"}),
    Row("GET", "/chats", ALL),
    Row("GET", "/chats?session={session_id}", ALL, NOT_FOUND),
    Row("GET", "/chats?participant={participant}", ALL, ALL),
    Row("GET", CHAT, ALL, NOT_FOUND),
    Row("PATCH", CHAT, ALL, NOT_FOUND, body={"title": "another"}),
    Row("DELETE", f"{CHAT}?mode=cancel", "202 202 202 202", NOT_FOUND),
    Row("GET", f"{CHAT}/export", ALL, NOT_FOUND),
    Row("GET", f"{CHAT}/messages", ALL, NOT_FOUND),
    Row("POST", f"{CHAT}/messages", "201 201 201 201", NOT_FOUND, body=SAID),
    Row("GET", f"{CHAT}/connections", ALL, NOT_FOUND),
    Row("DELETE", "/connections/{connection_id}", "204 204 403 403", KEPT_OUT),
    Row("POST", f"{CHAT}/turns", "202 202 202 202", NOT_FOUND, body=TURN),
    Row("GET", f"{CHAT}/events", "204 204 204 204", NOT_FOUND),
    Row("GET", "/turns/{turn_id}", ALL, NOT_FOUND),
    Row("POST", "/turns/{turn_id}/stop", ALL, NOT_FOUND),
    Row("POST", "/tickets", "201 201 201 201", body={}),
    Row("POST", "/tickets", "201 201 201 201", NOT_FOUND, body={"chat": "{chat_id}"}),
    Row("POST", "/deletions/plan", ALL, NOT_FOUND, body=target("chat", "chat_id")),
    Row("POST", "/deletions/plan", ALL, NOT_FOUND, body=target("session", "session_id")),
    Row("POST", "/deletions/plan", STEWARDS, KEPT_OUT, body=target("participant", "participant")),
    Row("POST", "/deletions", "202 202 202 202", NOT_FOUND, body=target("chat", "chat_id")),
    Row("POST", "/deletions", "202 202 202 202", NOT_FOUND, body=target("session", "session_id")),
    Row("POST", "/deletions", "202 202 403 403", KEPT_OUT, body=target("participant", "participant")),
    Row("POST", "/deletions", "202 202 403 403", KEPT_OUT, body=target("tenant", "tenant_id")),
    Row("GET", "/deletions", STEWARDS),
    Row("GET", DELETION, STEWARDS, KEPT_OUT),
    Row("POST", f"{DELETION}/retry", "202 202 403 403", KEPT_OUT),
    Row("POST", f"{DELETION}/undo", "410 410 403 403", KEPT_OUT),
    Row("POST", "/imports", "202 202 403 403", body="{file}", headers={"content-type": "application/x-ndjson"}),
    Row("GET", "/imports/{import_id}", STEWARDS, KEPT_OUT),
    Row("GET", "/receipts", STEWARDS),
    Row("GET", "/receipts/verify", STEWARDS),
    Row("GET", "/receipts/{receipt_id}", STEWARDS, KEPT_OUT),
    Row("POST", "/webhooks", "201 201 403 403", body={"url": "https://example.com/h", "events": ["deletion.done"]}),
    Row("GET", "/webhooks", STEWARDS),
    Row("GET", WEBHOOK, STEWARDS, KEPT_OUT),
    Row("DELETE", WEBHOOK, "204 204 403 403", KEPT_OUT),
    Row("GET", f"{WEBHOOK}/deliveries", STEWARDS, KEPT_OUT),
    Row("POST", f"{WEBHOOK}/deliveries/{{delivery_id}}/resend", "202 202 403 403", KEPT_OUT),
]
PUBLIC = {"/openapi.json", "/receipt-keys"}

ROUTES_MIN, CELLS_MIN = 51, 1_110
"""The table does not shrink."""


async def fill(pattern: Any, things: Things | None) -> Any:
    """A path, a body or headers with the names of these things; without any, of what is not there."""
    if isinstance(pattern, Mapping):
        return {key: await fill(value, things) for key, value in pattern.items()}
    if isinstance(pattern, list):
        return [await fill(value, things) for value in pattern]
    if not isinstance(pattern, str):
        return pattern
    names = _PLACEHOLDER.findall(pattern)
    known = {name: UNKNOWN[name] if things is None else await things.name(name) for name in names}
    return pattern if not names else "".join(known.get(part, part) for part in re.split(r"[{}]", pattern))


class Asked(NamedTuple):
    """An answer: status, headers and body, without what each request has of its own."""

    status: int
    headers: dict[str, str]
    body: str


class World:
    """Two tenants: `t1` with ann, bob and keys of every kind, and `t2` with zoe."""

    def __init__(self, http: httpx.AsyncClient, instance: Instance, make_key: MakeKey) -> None:
        self._http = http
        self._instance = instance
        self._make_key = make_key
        self._things: dict[str, Things] = {}

    async def things(self, tenant: str, owner: str) -> Things:
        return Things(self._instance, Caller(self._http, await self._make_key(tenant)), tenant, owner)

    async def key(self, who: str, own: Things) -> str | None:
        """A key of that kind which reaches what is its own."""
        if who == "participant":
            return await self._make_key("t1", "ann")
        if who == "session":
            return await self._make_key("t1", None, "session", session_id=await own.name("session_id"))
        if who in {"admin", "tenant"}:
            return await self._make_key("t1", None, who)
        if who == "expired":
            return await self._make_key("t1", expires_at=times.now() - times.SECOND)
        if who == "revoked":
            text = await self._make_key("t1")
            tenant = await self._instance.tenants.get("t1")
            newest = (await self._instance.keys.list(tenant.id))[-1]
            await self._instance.keys.revoke(tenant.id, newest.id)
            return text
        return None

    async def ask(self, row: Row, key: str | None, things: Things | None) -> Asked:
        """The answer to a request on these things."""
        headers = {"authorization": f"Bearer {key}"} if key is not None else {}
        headers |= await fill(row.headers, things)
        path, body = await fill(row.path, things), await fill(row.body, things)
        content = {"content": body} if isinstance(body, str) else {"json": body} if body is not None else {}
        answer = await self._http.request(row.method, PREFIX + path, headers=headers, **content)
        told = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "date"}}
        return Asked(answer.status_code, told, re.sub(r'"request_id":"[^"]*"', "", answer.text))


@pytest.fixture
def world(http: httpx.AsyncClient, instance: Instance, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(limits, "IMPORT_POLL_SECONDS", 0.01)
    return World(http, instance, make_key)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
async def test_who_may_what(row: Row, world: World) -> None:
    foreign = await world.things("t2", "zoe")
    beside = await world.things("t1", "bob")
    lasting = await world.things("t1", "ann")
    seen: dict[tuple[str, str], Asked] = {}
    for who, what in row.cells():
        own = lasting if row.method == "GET" or who in NO_KEYS else await world.things("t1", "ann")
        things = {"own": own, "foreign": foreign, "beside": beside, "unknown": None}[what]
        seen[who, what] = await world.ask(row, await world.key(who, own), things)
    statuses = {cell: asked.status for cell, asked in seen.items()}
    expected = dict(zip([(scope, "own") for scope in SCOPES], map(int, row.own.split()), strict=True))
    expected |= {(who, "own"): 200 if row.path in PUBLIC else 401 for who in NO_KEYS}
    if row.other:
        others = dict(zip(SCOPES, map(int, row.other.split()), strict=True))
        expected |= {(scope, "foreign"): status for scope, status in others.items()}
    assert {cell: statuses[cell] for cell in expected} == expected
    for who, what in row.cells():
        if what in {"foreign", "beside"} and who not in row.reveals:
            assert seen[who, what] == seen[who, "unknown"], f"{who} can tell what is {what} from what is nowhere"
        if who in NO_KEYS:
            assert seen[who, what] == seen[who, "own"], f"{who} learns whether something is there"


def test_every_route_has_its_rows(instance: Instance) -> None:
    """Whoever adds a route says here who may use it; prints how large the table is."""
    routes = {
        (route.method, route.path.removeprefix(PREFIX))
        for route in Native(instance, requests_per_minute=0).routes.routes
    }
    rows = {row.route for row in ROWS}
    assert routes - rows == set(), "these routes have no row: add who may use them, on what, and what comes of it"
    assert rows - routes == set(), "these rows have no route"
    cells = sum(len(row.cells()) for row in ROWS)
    print(f"{len(routes)} routes, {len(ROWS)} rows, {cells} cells")  # noqa: T201  it is to be seen
    assert (len(routes) >= ROUTES_MIN, cells >= CELLS_MIN) == (True, True), (len(routes), cells)
