"""What a string must be before it is stored: no NUL, no lone surrogate, no longer than its limit."""

from __future__ import annotations

from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput


def is_storable(text: str) -> bool:
    """Whether both databases keep the text as it is: it holds no U+0000 and no lone surrogate."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """The text without what no store keeps."""
    if is_storable(text):
        return text
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()


def check_text(text: str, field: str, characters_max: int) -> str:
    """The text itself; raises InvalidInput, naming the field, when it is too long or not storable."""
    if len(text) > characters_max:
        raise InvalidInput(f"{field} is longer than {characters_max} characters", field=field)
    if not is_storable(text):
        raise InvalidInput(f"{field} holds a NUL character or a lone surrogate", field=field)
    return text


def is_client_id(text: str) -> bool:
    """Whether the text may be a client's id of a session, chat or message.

    At least one character, at most 512, at most 2 048 bytes of UTF-8 (PostgreSQL's index refuses 2 700), storable.
    """
    return (
        0 < len(text) <= limits.CLIENT_ID_CHARACTERS
        and is_storable(text)
        and len(text.encode()) <= limits.CLIENT_ID_BYTES
    )
