"""A tour through Honcho's Python SDK: each stop a coroutine that uses a part of it and looks at what comes back."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from honcho.api_types import (  # type: ignore[import-untyped]
    PeerConfig,
    SessionConfiguration,
    SessionPeerConfig,
    SummaryConfiguration,
    WorkspaceConfiguration,
)
from honcho.http.exceptions import (  # type: ignore[import-untyped]
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)
from pydantic import BaseModel

from tests.clients.honcho.hand import Hand, all_of

LONG_AGO = datetime(2020, 5, 17, 12, 0, tzinfo=UTC)


async def workspaces(do: Hand, sdk: Any) -> None:
    """Its own data, and the list of all."""
    await do(sdk, "set_metadata", {"of": "all"})
    assert await do(sdk, "get_metadata") == {"of": "all"}
    await do(sdk, "set_configuration", WorkspaceConfiguration(summary=SummaryConfiguration(enabled=False)))
    kept = await do(sdk, "get_configuration")
    assert kept.summary.enabled is False
    await do(sdk, "refresh")
    assert sdk.metadata == {"of": "all"}
    assert await do.all(sdk, "workspaces", {"metadata": {"of": "all"}, "id": sdk.workspace_id}) == [sdk.workspace_id]


async def peers(do: Hand, sdk: Any) -> None:
    """Made with data, changed, listed in pages, found by a filter."""
    ann = await do(sdk, "peer", "ann", metadata={"a": 1}, configuration=PeerConfig(observe_me=False))
    assert (ann.metadata, ann.configuration.observe_me) == ({"a": 1}, False)
    assert ann.created_at.tzinfo is not None
    assert await do(ann, "get_metadata") == {"a": 1}
    await do(ann, "set_metadata", {"a": 2})
    await do(ann, "set_configuration", PeerConfig(observe_me=True))
    assert (await do(ann, "get_configuration")).observe_me is True
    await do(ann, "refresh")
    assert (ann.metadata, ann.configuration.observe_me) == ({"a": 2}, True)
    for name in ("bob", "cy"):
        await do(sdk, "peer", name)
    first = await do(sdk, "peers", size=2)
    assert ([one.id for one in first.items], first.total, first.pages) == (["ann", "bob"], 3, 2)
    assert await do(first, "has_next_page") is True
    second = await do(first, "get_next_page")
    assert [one.id for one in second.items] == ["cy"]
    assert await do(second, "get_next_page") is None
    assert [one.id for one in await do.all(sdk, "peers", reverse=True, size=1)] == ["cy", "bob", "ann"]
    assert [one.id for one in await do.all(sdk, "peers", {"metadata": {"a": {"gte": 2}}})] == ["ann"]


async def sessions(do: Hand, sdk: Any) -> None:
    """Made with data and members, changed, listed, found by a filter."""
    settings = SessionConfiguration(summary=SummaryConfiguration(enabled=False))
    made = await do(sdk, "session", "s", metadata={"n": 1}, configuration=settings, peers=["ann", "bob"])
    assert (made.metadata, made.is_active) == ({"n": 1}, True)
    assert made.configuration.summary.enabled is False
    assert await do(made, "get_metadata") == {"n": 1}
    await do(made, "set_metadata", {"n": 2})
    await do(made, "set_configuration", SessionConfiguration(summary=SummaryConfiguration(enabled=True)))
    assert (await do(made, "get_configuration")).summary.enabled is True
    await do(made, "refresh")
    assert (made.metadata, made.created_at.tzinfo) == ({"n": 2}, UTC)
    await do(sdk, "session", "t")
    assert [one.id for one in await do.all(sdk, "sessions", size=1)] == ["s", "t"]
    assert [one.id for one in await do.all(sdk, "sessions", {"NOT": [{"id": "s"}]})] == ["t"]
    ann = await do(sdk, "peer", "ann")
    assert [one.id for one in await do.all(ann, "sessions")] == ["s"]


async def members(do: Hand, sdk: Any) -> None:
    """Joined, left, replaced, each with settings."""
    session, cy = await do(sdk, "session", "s"), await do(sdk, "peer", "cy")
    await do(session, "add_peers", [(cy, SessionPeerConfig(observe_others=True))])
    assert {one.id for one in await do(session, "peers")} == {"ann", "bob", "cy"}
    assert (await do(session, "get_peer_configuration", cy)).observe_others is True
    await do(session, "set_peer_configuration", cy, SessionPeerConfig(observe_me=False))
    kept = await do(session, "get_peer_configuration", "cy")
    assert (kept.observe_me, kept.observe_others) == (False, True)
    await do(session, "remove_peers", [cy, "bob"])
    assert {one.id for one in await do(session, "peers")} == {"ann"}
    await do(session, "set_peers", ["ann", "bob"])
    assert {one.id for one in await do(session, "peers")} == {"ann", "bob"}


async def messages(do: Hand, sdk: Any) -> None:
    """A batch with times and data, in pages and by filters; one of them changed."""
    session, ann, bob = await do(sdk, "session", "s"), await do(sdk, "peer", "ann"), await do(sdk, "peer", "bob")
    do.called |= {("Peer", "message")}
    drafts = [(ann, bob)[n % 2].message(f"number {n}", metadata={"n": n}, created_at=LONG_AGO) for n in range(23)]
    stored = await do(session, "add_messages", drafts)
    assert [(one.content, one.peer_id, one.metadata) for one in stored[:2]] == [
        ("number 0", "ann", {"n": 0}),
        ("number 1", "bob", {"n": 1}),
    ]
    assert {one.created_at for one in stored} == {LONG_AGO}
    assert (stored[0].workspace_id, stored[0].session_id) == (sdk.workspace_id, "s")
    assert stored[0].token_count > 0
    page = await do(session, "messages", size=10)
    assert (page.total, page.page, page.size, page.pages, len(page.items)) == (23, 1, 10, 3, 10)
    assert [one.content for one in await all_of(page)] == [f"number {n}" for n in range(23)]
    newest = await do.all(session, "messages", size=10, reverse=True)
    assert [one.id for one in newest] == [one.id for one in reversed(stored)]
    wanted = {"AND": [{"peer_id": "bob"}, {"metadata": {"n": {"lt": 5}}}, {"created_at": {"lte": "2020-05-18"}}]}
    assert [one.content for one in await do.all(session, "messages", filters=wanted)] == ["number 1", "number 3"]
    changed = await do(session, "update_message", stored[5], {"is": "changed"})
    assert (changed.metadata, changed.content) == ({"is": "changed"}, "number 5")
    assert (await do(session, "get_message", stored[5].id)).metadata == {"is": "changed"}


def pdf_of(text: str) -> bytes:
    """The smallest file of that kind with one page and one line."""
    content = b"BT /F1 12 Tf 72 720 Td (" + text.encode() + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<</Type /Page /Parent 2 0 R/MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R>>>>>>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return made + head + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(made))


FILES = {
    "a.pdf": ("application/pdf", pdf_of("printed words"), "printed words"),
    "a.txt": ("text/plain", "plain wörds".encode(), "plain wörds"),
    "a.json": ("application/json", json.dumps({"key": ["jason"]}).encode(), '{"key": ["jason"]}'),
    "a.csv": ("text/csv", b"name,age\r\nann,7\r\n", "name,age\r\nann,7\r\n"),
    "a.md": ("text/markdown", b"# Marked\n\nand down", "# Marked\n\nand down"),
}
"""Files by their names: the media type, the bytes, and the text that is to be found in the message."""


async def uploads(do: Hand, sdk: Any) -> None:
    """A file of every kind as a tuple, and one as an open file."""
    session = await do(sdk, "session", "files")
    for name, (media_type, content, text) in FILES.items():
        stored = await do(session, "upload_file", (name, content, media_type), "ann", metadata={"file": name})
        assert [text in one.content for one in stored] == [True]
        assert (stored[0].peer_id, stored[0].metadata) == ("ann", {"file": name})
    opened = io.BytesIO(b"word " * 6_000)
    opened.name = "long.txt"
    quiet = {"reasoning": {"enabled": False}}
    pieces = await do(session, "upload_file", opened, "ann", configuration=quiet, created_at=LONG_AGO)
    assert len(pieces) == 2
    assert "".join(one.content for one in pieces) == "word " * 6_000
    assert {one.created_at for one in pieces} == {LONG_AGO}


async def searches(do: Hand, sdk: Any) -> None:
    """In the workspace, a session, what a peer has said."""
    session, ann = await do(sdk, "session", "s"), await do(sdk, "peer", "ann")
    found = await do(sdk, "search", "number 7", limit=5)
    assert [(one.content, one.session_id) for one in found] == [("number 7", "s")]
    by_ann = {"peer_id": "ann"}
    assert [one.content for one in await do(session, "search", "number 12", filters=by_ann)] == ["number 12"]
    assert [one.content for one in await do(ann, "search", "marked")] == [FILES["a.md"][2]]
    assert await do(ann, "search", "number 7") == []


async def contexts(do: Hand, sdk: Any) -> None:
    """What a model is given: the newest messages, and in the forms of two providers."""
    session, ann = await do(sdk, "session", "s"), await do(sdk, "peer", "ann")
    context = await do(session, "context", tokens=1_000, summary=False)
    assert [one.content for one in context.messages] == [f"number {n}" for n in range(23)]
    assert (await do(context, "to_openai", assistant="bob"))[1] == {
        "role": "assistant",
        "name": "bob",
        "content": "number 1",
    }
    assert (await do(context, "to_anthropic", assistant=ann))[0]["role"] == "assistant"
    summaries = await do(session, "summaries")
    assert (summaries.id, summaries.short_summary, summaries.long_summary) == ("s", None, None)


async def conclusions(do: Hand, sdk: Any) -> None:
    """Written down about oneself and another, looked up in every way, removed."""
    ann = await do(sdk, "peer", "ann")
    do.called |= {("Peer", "conclusions_of")}
    own, of_bob = ann.conclusions, ann.conclusions_of("bob")
    tea, coffee = await do(own, "create", [{"content": "likes tea", "session_id": "s"}, {"content": "hates coffee"}])
    (dog,) = await do(of_bob, "create", [{"content": "has a dog"}])
    assert (tea.level, tea.session_id, coffee.session_id) == ("explicit", "s", None)
    assert [one.id for one in await do.all(own, "list")] == [coffee.id, tea.id]
    assert [one.id for one in await do.all(own, "list", session="s")] == [tea.id]
    assert [one.id for one in await do.all(of_bob, "list", reverse=True, filters={"level": "explicit"})] == [dog.id]
    assert [one.id for one in await do(own, "query", "tea", top_k=3, distance=1.0)] == [tea.id]
    assert (await do(own, "get", coffee.id)).content == "hates coffee"
    assert {one.id for one in await do(own, "get_many", [tea.id, coffee.id, dog.id])} == {tea.id, coffee.id}
    everyone = sdk.conclusions
    assert (await do(everyone, "get", dog.id)).observed_id == "bob"
    assert [one.id for one in await do(everyone, "get_many", [dog.id])] == [dog.id]
    assert {one.id for one in await do.all(everyone, "list")} == {tea.id, coffee.id, dog.id}
    assert "likes tea" in await do(own, "representation", max_conclusions=5)
    with pytest.raises(UnprocessableEntityError):  # nothing is derived from conclusions yet
        await do(own, "derived", tea.id)
    await do(own, "delete", coffee.id)
    with pytest.raises(NotFoundError):
        await do(everyone, "get", coffee.id)


async def what_is_known(do: Hand, sdk: Any) -> None:
    """Cards, representations, contexts of peers, and questions about them."""
    session, ann, bob = await do(sdk, "session", "s"), await do(sdk, "peer", "ann"), await do(sdk, "peer", "bob")
    assert await do(ann, "get_card") is None
    assert await do(ann, "set_card", ["Name: Ann"]) == ["Name: Ann"]
    assert await do(ann, "get_card") == ["Name: Ann"]
    await do(ann, "set_card", ["Friend"], target=bob)
    with pytest.warns(DeprecationWarning, match="get_card"):
        assert await do(ann, "card", target="bob") == ["Friend"]
    assert "likes tea" in await do(ann, "representation")
    assert "has a dog" in await do(ann, "representation", target=bob, search_query="dog", search_top_k=3)
    assert "has a dog" not in await do(ann, "representation", session=session, target=bob)
    assert "likes tea" in await do(session, "representation", ann)
    known = await do(ann, "context", target=bob)
    assert (known.peer_id, known.target_id, known.peer_card) == ("ann", "bob", ["Friend"])
    about = await do(session, "context", peer_target="bob", peer_perspective="ann", search_query="dog")
    assert (about.peer_card, "has a dog" in about.peer_representation) == (["Friend"], True)
    only_here = await do(session, "context", peer_target="ann", sessions=[session])
    assert (only_here.peer_card, "likes tea" in only_here.peer_representation) == (None, True)


class Answer(BaseModel):
    """What a question may want as its answer."""

    color: str | None


async def questions(do: Hand, sdk: Any) -> None:
    """Nothing is derived: no answer, in one piece and as a stream."""
    session, ann = await do(sdk, "session", "s"), await do(sdk, "peer", "ann")
    assert await do(ann, "chat", "which color?", session=session, reasoning_level="minimal") is None
    assert await do(ann, "chat", "which color?", target="bob", response_format=Answer) is None
    stream = await do(ann, "chat_stream", "which color?", sessions=["s"])
    assert await all_of(stream) == []
    assert await do(stream, "get_final_response") == {"content": ""}
    with pytest.raises(NotFoundError):  # a question of everybody is for newer servers
        await do(sdk, "chat", "which color?")
    with pytest.raises(NotFoundError):
        await do.all(sdk, "chat_stream", "which color?")


async def work(do: Hand, sdk: Any) -> None:
    """What is queued, and dreams."""
    session = await do(sdk, "session", "s")
    for status in (await do(sdk, "queue_status", sender="ann"), await do(session, "queue_status")):
        assert status.total_work_units == status.completed_work_units + status.pending_work_units
    await do(sdk, "schedule_dream", "ann", session=session, observed="bob")


async def scopes(do: Hand, sdk: Any) -> None:
    """Made, filled, read through, emptied; a session may be in one from the start."""
    made = await do(sdk, "scope", "home", metadata={"a": 1})
    assert (made.metadata, made.created_at.tzinfo) == ({"a": 1}, UTC)
    await do(made, "add_sessions", ["s", "files"])
    assert [one.id for one in await do.all(made, "sessions", size=1)] == ["s", "files"]
    await do(made, "remove_session", "files")
    assert {name: job.state for name, job in (await do(made, "status")).items()} == {"s": "completed"}
    born = await do(sdk, "session", "born", scopes=[made, "away"])
    away = await do(sdk, "get_scope", "away")
    assert [one.id for one in await do.all(away, "sessions")] == ["born"]
    assert [one.id for one in await do.all(made, "sessions")] == ["s", "born"]
    assert [one.id for one in await do.all(sdk, "scopes", reverse=True)] == ["away", "home"]
    with pytest.raises(NotFoundError):
        await do(sdk, "get_scope", "nowhere")
    ann = await do(sdk, "peer", "ann")
    assert [one.content for one in await do(sdk, "search", "number 7", scope=made)] == ["number 7"]
    assert "likes tea" in await do(ann, "representation", scope=[made, "away"])
    assert await do(ann, "representation", scope="away") == ""
    assert await do(ann, "chat", "which color?", scope=["home", "away"]) is None
    await do(born, "delete")
    assert await do.all(away, "sessions") == []


async def clones(do: Hand, sdk: Any) -> None:
    """All of a session, or its part up to a message; a copy lives by itself."""
    session = await do(sdk, "session", "s")
    stored = await do.all(session, "messages")
    whole = await do(session, "clone")
    part = await do(session, "clone", message_id=stored[4].id)
    assert [one.content for one in await do.all(whole, "messages")] == [one.content for one in stored]
    assert [one.content for one in await do.all(part, "messages")] == [one.content for one in stored[:5]]
    assert {one.id for one in await do(whole, "peers")} == {"ann", "bob"}
    assert len({whole.id, part.id, "s"}) == 3
    await do(whole, "delete")
    assert len(await do.all(session, "messages")) == len(stored)


async def refusals(do: Hand, sdk: Any, stranger: Any) -> None:
    """Each answer that is no success becomes the exception of its status, with the server's words."""
    observing = [(f"o{n}", SessionPeerConfig(observe_others=True)) for n in range(11)]
    with pytest.raises(BadRequestError, match="Maximum allowed is 10"):
        await do(sdk, "session", "crowded", peers=observing)
    with pytest.raises(AuthenticationError):
        await do(stranger, "peer", "ann")
    with pytest.raises(NotFoundError, match="not found"):
        await do(await do(sdk, "session", "s"), "get_message", "N" * 21)
    with pytest.raises(UnprocessableEntityError):
        await do(sdk, "peer", "not an id")
    with pytest.raises(ConflictError, match="active session"):
        await do(sdk, "delete_workspace", sdk.workspace_id)


async def deletions(do: Hand, sdk: Any) -> None:
    """A session goes at once with all it had, its id is free; then the whole workspace."""
    session = await do(sdk, "session", "s")
    await do(session, "delete")
    with pytest.raises(NotFoundError):
        await do(session, "delete")
    assert "s" not in {one.id for one in await do.all(sdk, "sessions")}
    assert "s" not in {one.session_id for one in await do(sdk, "search", "number")}
    again = await do(sdk, "session", "s")
    assert (again.metadata, await do.all(again, "messages"), await do(again, "peers")) == ({}, [], [])
    for one in await do.all(sdk, "sessions"):
        await do(one, "delete")
    await do(sdk, "delete_workspace", sdk.workspace_id)
    assert sdk.workspace_id not in await do.all(sdk, "workspaces")
