"""The served document against Honcho's published one: the same paths, parameters and schemas, or a reason.

`published.json` is a table of facts that `scripts/honcho-facts` made from the published document.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.wire.honcho.caller import Document
from tests.wire.honcho.facts import facts_of

PUBLISHED: dict[str, str] = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))

ONE = "/v3/workspaces/{workspace_id}"
SESSION = f"{ONE}/sessions/{{session_id}}"

INLINE = frozenset({"UploadForm", "DialecticResponse", "SessionPeers", "PeerIds", "Accepted", "Key"})
"""Schemas of ours that have no name in the published document."""

ADDED = {
    r".* (400|401|404|405|409|413|415|500|503)( application/json)?": "its document has no refusal but 422; they are "
    "sent all the same",
    r"Refusal(\.detail)?": "the body of those refusals",
    r"POST (/v3/workspaces|.*/(peers|sessions|webhooks)) 201( application/json)?": "what a get-or-create has made is "
    "answered so, which its document leaves out",
    r"\w+ .*/scopes\b.*": "its server and its clients have scopes, its document does not",
    r"(Scope\w*|Page_Scope_|Backfill)(\..*)?": "the schemas of scopes",
    r"(DialecticOptions|MessageSearchOptions|PeerRepresentationGet)\.scope": "as above",
    r"(SessionCreate\.scopes|PeerGet\.kind)": "as above",
    rf"GET {re.escape(SESSION)}/context (scope|sessions) in query": "as above",
    rf"GET {re.escape(ONE)}/conclusions/\{{conclusion_id\}}.*": "the SDK asks for one conclusion; a newer "
    "server has it",
    r"GET /v3/openapi\.json.*": "the document itself",
    r"DELETE .* 202 application/json\.message": "said of a body that is not described there",
    r"POST /v3/keys 200 application/json\.key": "as above",
}
"""What only our document has, as patterns of lines, and why."""

CHANGED = {
    "object, required": (
        "an answer always has it",
        ["Message.metadata"]
        + [f"{noun}.{field}" for noun in ("Workspace", "Peer", "Session") for field in ("metadata", "configuration")],
    ),
    "one of contradiction deductive explicit inductive, required": ("as above", ["Conclusion.level"]),
    "string or null, required": ("as above", ["Conclusion.session_id"]),
    "anything, required": ("as above", ["ValidationError.input"]),
    "list of ValidationError or string, required": (
        "a rule beyond the form of a request is told in words, by its server too",
        ["HTTPValidationError.detail"],
    ),
    "object": (
        "described, not only said to be there",
        [
            f"DELETE {ONE} 202 application/json",
            f"DELETE {SESSION} 202 application/json",
            "POST /v3/keys 200 application/json",
        ],
    ),
    "boolean, false when absent": (
        "a query has no null",
        [f"POST {ONE}/conclusions/list reverse in query", f"POST {SESSION}/messages/list reverse in query"],
    ),
    "object of SessionPeerConfig 0..1000": (
        "a request has a limit of members",
        [f"POST {SESSION}/peers body application/json", f"PUT {SESSION}/peers body application/json"],
    ),
    "object of SessionPeerConfig 0..1000 or null": ("as above", ["SessionCreate.peers"]),
    "list of string 0..1000": ("as above", [f"DELETE {SESSION}/peers body application/json"]),
    "string 0..2048, required": ("a longer URL is refused, which its server fails at", ["WebhookEndpointCreate.url"]),
    "object or null": ("null leaves alone what is there, here as elsewhere", ["WorkspaceCreate.metadata"]),
    "WorkspaceConfiguration or null": ("as above", ["WorkspaceCreate.configuration"]),
}
"""What our document says otherwise: its words, why, and of what."""

ELSEWHERE = re.compile(r"GET /health.*")
"""Served by every server, outside this dialect's document."""


@pytest.fixture
def served(document: Document) -> dict[str, str]:
    return facts_of(document.content, INLINE)


def test_nothing_is_missing(served: dict[str, str]) -> None:
    missing = [line for line in PUBLISHED if line not in served and not ELSEWHERE.fullmatch(line)]
    assert missing == []


def test_what_is_said_otherwise_is_meant(served: dict[str, str]) -> None:
    found = {line: served[line] for line in PUBLISHED if line in served and served[line] != PUBLISHED[line]}
    assert found == {line: words for words, (_, lines) in CHANGED.items() for line in lines}


def test_what_is_added_is_meant(served: dict[str, str]) -> None:
    added = [line for line in served if line not in PUBLISHED]
    reasons = {line: [pattern for pattern in ADDED if re.fullmatch(pattern, line)] for line in added}
    assert [line for line, patterns in reasons.items() if not patterns] == []
    assert {pattern for patterns in reasons.values() for pattern in patterns} == set(ADDED)


def test_a_difference_is_seen() -> None:
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "maxLength": 9}}}
    answers = {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Noun"}}}}}
    query = {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 1}}
    document = {
        "paths": {"/nouns": {"get": {"parameters": [query], "responses": answers}}},
        "components": {"schemas": {"Noun": schema}, "securitySchemes": {}},
    }
    lines = {"Noun": "object", "Noun.id": "string 0..9, required"}
    operation = {"GET /nouns": "secured", "GET /nouns page in query": "integer 1.., 1 when absent"}
    answer = {"GET /nouns 200": "has a body", "GET /nouns 200 application/json": "Noun"}
    assert facts_of(document) == {**lines, **operation, **answer}
    assert facts_of(document, frozenset({"Noun"})) == {
        **operation,
        "GET /nouns 200": "has a body",
        "GET /nouns 200 application/json": "object",
        "GET /nouns 200 application/json.id": "string 0..9, required",
    }
