"""Honcho's words: what comes in (pydantic, whose messages are this wire's 422) and what goes out (msgspec)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_validator

from antiphon.api.http import json_text, raw_json
from antiphon.domain import limits, messages, participants, sessions, tenants, times
from antiphon.domain.ids import shorts_of

NAME_PATTERN = "^[a-zA-Z0-9_-]+$"


# What comes in


def check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """The object itself. Raises ValueError when it has too many keys or objects nested too deep."""
    if len(value) > limits.HONCHO_METADATA_KEYS:
        raise ValueError(f"metadata has more than {limits.HONCHO_METADATA_KEYS} keys")
    if _is_deeper(value, limits.HONCHO_METADATA_DEPTH, limits.JSON_DEPTH):
        raise ValueError(f"metadata has objects nested deeper than {limits.HONCHO_METADATA_DEPTH} levels")
    return value


def _is_deeper(value: dict[str, Any] | list[Any], objects_left: int, levels_left: int) -> bool:
    """Whether there are more levels of objects, or of anything, than are left; lists are levels of the second kind."""
    if isinstance(value, dict):
        objects_left -= 1
    if objects_left < 0 or levels_left < 0:
        return True
    children = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(child, objects_left, levels_left - 1) for child in children if isinstance(child, dict | list))


def moment_of(value: datetime) -> int:
    """The moment of a datetime in microseconds. Raises ValueError when it is in no year from 1 to 9999 of UTC."""
    moment = times.from_datetime(value)
    try:
        times.text_of(moment)
    except OverflowError:
        raise ValueError("the time lies outside the years 1 to 9999") from None
    return moment


def object_text(value: dict[str, Any] | None) -> str | None:
    """A JSON object as text for the store, without NUL characters; None stays None."""
    if value is None:
        return None
    if not value:
        return "{}"
    text = json_text(value)
    return json_text(_without_nuls(value)) if "\\u0000" in text else text


def _without_nuls(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_without_nuls(key): _without_nuls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nuls(item) for item in value]
    return value


def check_moment(value: datetime) -> datetime:
    """The moment itself. Raises ValueError when it is in no year from 1 to 9999 of UTC."""
    moment_of(value)
    return value


Name = Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARACTERS, pattern=NAME_PATTERN)]
Metadata = Annotated[dict[str, Any], AfterValidator(check_metadata)]
Id = AliasChoices("id", "name")
ScopeName = Annotated[str, Field(min_length=1, max_length=limits.HONCHO_SCOPE_CHARACTERS, pattern=NAME_PATTERN)]


class ReasoningConfiguration(BaseModel):
    """Whether and how memory is derived."""

    enabled: bool | None = None
    custom_instructions: str | None = None


class PeerCardConfiguration(BaseModel):
    """Whether peer cards are used and made."""

    use: bool | None = None
    create: bool | None = None


class SummaryConfiguration(BaseModel):
    """Whether and how often a session is summarised, counted in messages."""

    enabled: bool | None = None
    messages_per_short_summary: int | None = Field(None, ge=limits.HONCHO_SHORT_SUMMARY_MESSAGES)
    messages_per_long_summary: int | None = Field(None, ge=limits.HONCHO_LONG_SUMMARY_MESSAGES)

    @model_validator(mode="after")
    def check_order(self) -> SummaryConfiguration:
        """Short summaries come more often than long ones."""
        short, long = self.messages_per_short_summary, self.messages_per_long_summary
        if short is not None and long is not None and short >= long:
            raise ValueError("messages_per_short_summary must be less than messages_per_long_summary")
        return self


class DreamConfiguration(BaseModel):
    """Whether conclusions are gone over again."""

    enabled: bool | None = None


class Configuration(BaseModel):
    """Settings of a workspace or session. Keys that are not known here are kept and given back."""

    model_config = ConfigDict(extra="allow")

    reasoning: ReasoningConfiguration | None = None
    peer_card: PeerCardConfiguration | None = None
    summary: SummaryConfiguration | None = None
    dream: DreamConfiguration | None = None


def configuration_text(configuration: Configuration | None) -> str | None:
    """A configuration as it is stored: without nulls, and without unknown keys inside a known section."""
    return None if configuration is None else object_text(configuration.model_dump(exclude_none=True))


class WorkspaceConfiguration(Configuration):
    """Settings of a workspace, which hold for its sessions where these say nothing."""


class SessionConfiguration(Configuration):
    """Settings of a session."""


class MessageConfiguration(BaseModel):
    """Settings of one message."""

    reasoning: ReasoningConfiguration | None = None


class WorkspaceCreate(BaseModel):
    """The workspace to get, or to make."""

    id: Name = Field(validation_alias=Id)
    metadata: Metadata | None = None
    configuration: WorkspaceConfiguration | None = None


class WorkspaceUpdate(BaseModel):
    """What to change of a workspace; an absent or null value is left alone."""

    metadata: Metadata | None = None
    configuration: WorkspaceConfiguration | None = None


class PeerCreate(BaseModel):
    """The peer to get, or to make."""

    id: Name = Field(validation_alias=Id)
    metadata: Metadata | None = None
    configuration: dict[str, Any] | None = None


class SessionPeerConfig(BaseModel):
    """A member's settings in one session."""

    observe_me: bool | None = None
    observe_others: bool | None = None


class SessionCreate(BaseModel):
    """The session to get, or to make."""

    id: Name = Field(validation_alias=Id)
    metadata: Metadata | None = None
    peers: Annotated[dict[str, SessionPeerConfig], Field(max_length=limits.MEMBERS_PER_REQUEST)] | None = Field(
        None, validation_alias=AliasChoices("peers", "peer_names")
    )
    configuration: SessionConfiguration | None = None
    scopes: Annotated[list[ScopeName], Field(max_length=limits.HONCHO_SCOPES_PER_REQUEST)] | None = None


class MessageCreate(BaseModel):
    """A message to store."""

    content: str = Field(max_length=limits.HONCHO_CONTENT_CHARACTERS)
    peer_id: str
    metadata: Metadata | None = None
    configuration: MessageConfiguration | None = None
    created_at: Annotated[datetime, AfterValidator(check_moment)] | None = None


class MessageBatchCreate(BaseModel):
    """Messages to store, in order, all or none."""

    messages: list[MessageCreate] = Field(min_length=1, max_length=limits.MESSAGES_PER_APPEND)


class PeerUpdate(BaseModel):
    """What to change of a peer; an absent or null value is left alone."""

    metadata: Metadata | None = None
    configuration: dict[str, Any] | None = None


class SessionUpdate(BaseModel):
    """What to change of a session; an absent or null value is left alone."""

    metadata: Metadata | None = None
    configuration: SessionConfiguration | None = None


class ListOptions(BaseModel):
    """What to list."""

    filters: dict[str, Any] | None = None


class WorkspaceGet(ListOptions):
    """Which workspaces to list."""


class PeerGet(ListOptions):
    """Which peers to list: those that speak, or scopes, or both."""

    kind: Literal["scope", "all"] | None = None


class SessionGet(ListOptions):
    """Which sessions to list."""


class MessageGet(ListOptions):
    """Which messages to list."""


class ConclusionGet(ListOptions):
    """Which conclusions to list."""


# What goes out

RawObject = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Item = TypeVar("Item")


class Workspace(msgspec.Struct):
    """A workspace: our tenant."""

    id: str
    metadata: RawObject
    configuration: RawObject
    created_at: Moment


class Peer(msgspec.Struct):
    """A peer: our participant."""

    id: str
    workspace_id: str
    created_at: Moment
    metadata: RawObject
    configuration: RawObject


class Session(msgspec.Struct):
    """A session: ours of the shape `single`."""

    id: str
    is_active: bool
    workspace_id: str
    metadata: RawObject
    configuration: RawObject
    created_at: Moment


class Message(msgspec.Struct):
    """A message."""

    id: str
    content: str
    peer_id: str
    session_id: str
    metadata: RawObject
    created_at: Moment
    workspace_id: str
    token_count: int


Count = Annotated[int, msgspec.Meta(ge=0)]
Number = Annotated[int, msgspec.Meta(ge=1)]


class Page(msgspec.Struct, Generic[Item]):
    """A page of a list; `pages` is how many there are of this size, 0 when there is nothing."""

    items: list[Item]
    total: Count
    page: Number
    size: Number
    pages: Count


class Accepted(msgspec.Struct):
    """A deletion that has taken hold."""

    message: str


class Refusal(msgspec.Struct):
    """An error, in words."""

    detail: str


class ValidationError(msgspec.Struct, omit_defaults=True):
    """One thing that is wrong with a request, and where."""

    type: str
    loc: list[str | int]
    msg: str
    input: Any
    ctx: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class HTTPValidationError(msgspec.Struct):
    """All that is wrong with a request; a string when a rule beyond the form of the request is broken."""

    detail: str | list[ValidationError]


_NO_KEYS = raw_json("{}")


def _raw(text: str) -> msgspec.Raw:
    return _NO_KEYS if text == "{}" else raw_json(text)


def show_workspace(tenant: tenants.Tenant) -> Workspace:
    """A tenant as this wire shows it."""
    return Workspace(tenant.name, _raw(tenant.metadata), _raw(tenant.configuration), times.text_of(tenant.created_at))


def show_peer(peer: participants.Participant, workspace: str) -> Peer:
    """A participant as this wire shows it."""
    made_at = times.text_of(peer.created_at)
    return Peer(peer.name, workspace, made_at, _raw(peer.metadata), _raw(peer.configuration))


def show_session(session: sessions.Session, workspace: str) -> Session:
    """A session as this wire shows it."""
    metadata, configuration = _raw(session.metadata), _raw(session.configuration)
    return Session(session.id, True, workspace, metadata, configuration, times.text_of(session.created_at))


def show_message(message: messages.Message, session_id: str, workspace: str) -> Message:
    """A message as this wire shows it."""
    return show_messages([message], session_id, workspace)[0]


def show_messages(found: Sequence[messages.Message], session_id: str, workspace: str) -> list[Message]:
    """Messages of one session as this wire shows them."""
    shorts = shorts_of([message.id for message in found])
    return [
        Message(
            short,
            message.text,
            message.author,
            session_id,
            _NO_KEYS if message.metadata == "{}" else raw_json(message.metadata),
            times.text_of(message.created_at),
            workspace,
            message.token_count or 0,
        )
        for short, message in zip(shorts, found, strict=True)
    ]
