"""Honcho's words for what is known of somebody, and for searching: bodies, queries and answers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, AliasChoices, BaseModel, Field, RootModel

from antiphon.api.honcho.wire import Id, Message, Metadata, Moment, ScopeName, SessionPeerConfig
from antiphon.domain import conclusions, limits, times
from antiphon.domain.webhooks import Webhook

TopK = Annotated[int, Field(ge=1, le=limits.HONCHO_SEARCH_RESULTS)]
Distance = Annotated[float, Field(ge=0.0, le=1.0)]
Scopes = str | Annotated[list[str], Field(max_length=limits.HONCHO_SCOPES_PER_REQUEST)]
_LIMIT = 10
_CONCLUSIONS = 25


# What comes in


class MessageSearchOptions(BaseModel):
    """What to look for in messages."""

    query: str
    filters: dict[str, Any] | None = None
    limit: TopK = _LIMIT
    scope: str | None = None


class MessageUpdate(BaseModel):
    """What to change of a message."""

    metadata: Metadata | None = None


class SessionPeers(RootModel[Annotated[dict[str, SessionPeerConfig], Field(max_length=limits.MEMBERS_PER_REQUEST)]]):
    """Members of a session with their settings, by the ids of peers."""


class PeerIds(RootModel[Annotated[list[str], Field(max_length=limits.MEMBERS_PER_REQUEST)]]):
    """Ids of peers."""


def _without_nuls(text: str) -> str:
    return text.replace("\x00", "")


class ConclusionCreate(BaseModel):
    """A conclusion to store."""

    content: Annotated[
        str, Field(min_length=1, max_length=limits.HONCHO_CONCLUSION_CHARACTERS), AfterValidator(_without_nuls)
    ]
    observer_id: str
    observed_id: str
    session_id: str | None = None


class ConclusionBatchCreate(BaseModel):
    """Conclusions to store, all or none."""

    conclusions: list[ConclusionCreate] = Field(
        min_length=1,
        max_length=limits.HONCHO_CONCLUSIONS_PER_REQUEST,
        validation_alias=AliasChoices("conclusions", "observations"),
    )


class ConclusionQuery(BaseModel):
    """What to look for in the conclusions of a pair."""

    query: str
    top_k: TopK = _LIMIT
    distance: Distance | None = None
    filters: dict[str, Any] | None = None


class PeerCardSet(BaseModel):
    """A card, line by line."""

    peer_card: list[str]


class PeerRepresentationGet(BaseModel):
    """Which part of what is known of a peer is wanted."""

    session_id: str | None = None
    filters: dict[str, Any] | None = None
    target: str | None = None
    scope: Scopes | None = None
    search_query: str | None = None
    search_top_k: TopK | None = None
    search_max_distance: Distance | None = None
    include_most_frequent: bool | None = None
    max_conclusions: TopK | None = _CONCLUSIONS


class PeerContextQuery(BaseModel):
    """The query of a peer's context."""

    target: str | None = None
    search_query: str | None = None
    search_top_k: TopK | None = None
    search_max_distance: Distance | None = None
    include_most_frequent: bool = True
    max_conclusions: TopK | None = None


class SessionContextQuery(BaseModel):
    """The query of a session's context."""

    tokens: Annotated[int, Field(le=limits.HONCHO_CONTEXT_TOKENS)] | None = None
    search_query: str | None = None
    summary: bool = True
    peer_target: str | None = None
    peer_perspective: str | None = None
    scope: str | None = None
    sessions: list[str] | None = None
    limit_to_session: bool = False
    search_top_k: TopK | None = None
    search_max_distance: Distance | None = None
    include_most_frequent: bool = False
    max_conclusions: TopK | None = None


class DialecticOptions(BaseModel):
    """A question about a peer."""

    session_id: str | None = None
    filters: dict[str, Any] | None = None
    target: str | None = None
    scope: Scopes | None = None
    query: str = Field(min_length=1, max_length=limits.HONCHO_CHAT_CHARACTERS)
    stream: bool = False
    reasoning_level: Literal["minimal", "low", "medium", "high", "max"] = "low"
    response_format: dict[str, Any] | None = None


class DreamType(StrEnum):
    """What kind of dream."""

    OMNI = "omni"
    CARD_REFRESH = "card_refresh"


class ScheduleDreamRequest(BaseModel):
    """A dream to be dreamt."""

    observer: str
    observed: str | None = None
    dream_type: DreamType
    session_id: str | None = None
    rebuild: bool = False


class ScopeCreate(BaseModel):
    """The scope to get, or to make."""

    id: ScopeName = Field(validation_alias=Id)
    metadata: Metadata | None = None


class ScopeSessions(BaseModel):
    """Sessions to be added to a scope."""

    session_ids: list[str] = Field(min_length=1, max_length=limits.HONCHO_SCOPE_SESSIONS)


class WebhookEndpointCreate(BaseModel):
    """Where events are to be sent."""

    url: str = Field(max_length=limits.WEBHOOK_URL_CHARACTERS)


# What goes out


class Conclusion(msgspec.Struct):
    """Something that an observer holds to be true of an observed one."""

    id: str
    content: str
    observer_id: str
    observed_id: str
    session_id: str | None
    level: Literal["explicit", "deductive", "inductive", "contradiction"]
    created_at: Moment


class Summary(msgspec.Struct):
    """A summary of a session up to a message."""

    content: str
    message_id: str
    summary_type: str
    created_at: str
    token_count: int


class SessionContext(msgspec.Struct):
    """What a model needs to go on with a session."""

    id: str
    messages: list[Message]
    summary: Summary | None = None
    peer_representation: str | None = None
    peer_card: list[str] | None = None


class SessionSummaries(msgspec.Struct):
    """The newest summaries of a session."""

    id: str
    short_summary: Summary | None = None
    long_summary: Summary | None = None


class PeerCardResponse(msgspec.Struct):
    """A card; null when there is none."""

    peer_card: list[str] | None = None


class RepresentationResponse(msgspec.Struct):
    """What is known, as text."""

    representation: str


class PeerContext(msgspec.Struct):
    """What is known of a target."""

    peer_id: str
    target_id: str
    representation: str | None = None
    peer_card: list[str] | None = None


class DialecticResponse(msgspec.Struct):
    """An answer about a peer; null when nothing is known."""

    content: str | None


class SessionQueueStatus(msgspec.Struct):
    """Work on one session."""

    total_work_units: int
    completed_work_units: int
    in_progress_work_units: int
    pending_work_units: int
    session_id: str | None = None


class QueueStatus(msgspec.Struct):
    """Work on a workspace."""

    total_work_units: int
    completed_work_units: int
    in_progress_work_units: int
    pending_work_units: int
    sessions: dict[str, SessionQueueStatus] | None = None


class Scope(msgspec.Struct):
    """A named set of sessions."""

    id: str
    metadata: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
    created_at: Moment


class Backfill(msgspec.Struct):
    """How far a session has been taken into a scope."""

    state: Literal["pending", "completed", "failed"]
    updated_at: Moment


class ScopeStatus(msgspec.Struct):
    """How far each session has been taken into a scope."""

    backfill_status: dict[str, Backfill]


class WebhookEndpoint(msgspec.Struct):
    """Where events are sent."""

    id: str
    workspace_id: str | None
    url: str
    created_at: Moment


class Key(msgspec.Struct):
    """A key that was made."""

    key: str


def show_conclusions(found: Sequence[conclusions.Conclusion]) -> list[Conclusion]:
    """Conclusions as this wire shows them."""
    return [
        Conclusion(
            one.id,
            one.content,
            one.observer,
            one.observed,
            one.session_id,
            "explicit",
            times.text_of(one.created_at),
        )
        for one in found
    ]


def show_webhook(webhook: Webhook, short_id: str, workspace: str) -> WebhookEndpoint:
    """A webhook as this wire shows it."""
    return WebhookEndpoint(short_id, workspace, webhook.url, times.text_of(webhook.created_at))
