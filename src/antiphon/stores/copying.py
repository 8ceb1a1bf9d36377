"""Messages that are copied from one chat to another: how many may be, and what becomes of them."""

from __future__ import annotations

import msgspec

from antiphon.domain import limits
from antiphon.domain.errors import LimitExceeded
from antiphon.domain.messages import Draft, Message


def check_copy(count: int, characters: int) -> None:
    """Raises LimitExceeded for more than one transaction should copy."""
    if count > limits.MESSAGES_PER_COPY:
        raise LimitExceeded(f"at most {limits.MESSAGES_PER_COPY} messages are copied at once")
    if characters > limits.COPY_CHARACTERS:
        raise LimitExceeded(f"messages of at most {limits.COPY_CHARACTERS} characters are copied at once")


def check_clone(count: int, characters: int) -> None:
    """Raises LimitExceeded for a session that is too large to be copied in one transaction."""
    if count > limits.CLONE_MESSAGES or characters > limits.CLONE_CHARACTERS:
        raise LimitExceeded(
            f"sessions of at most {limits.CLONE_MESSAGES} messages and {limits.CLONE_CHARACTERS} characters are cloned"
        )


def draft_of(message: Message) -> Draft:
    """The same said elsewhere, at the same time; its ids stay behind."""
    return Draft(
        author=message.author,
        role=message.role,
        text=message.text,
        parts=message.parts,
        metadata=message.metadata,
        created_at=message.created_at,
        token_count=message.token_count,
    )


def clone_of(message: Message) -> Draft:
    """The same said again now. Nothing is to be derived from it: what may be is where it was said first."""
    return msgspec.structs.replace(draft_of(message), created_at=None, is_reasoned=False)
