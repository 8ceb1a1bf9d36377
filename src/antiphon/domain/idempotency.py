"""Kept answers: what a request that is sent again under the same `Idempotency-Key` is given."""

from __future__ import annotations

import msgspec

from antiphon.domain.ids import Uid


class Subject(msgspec.Struct, frozen=True):
    """What an answer tells of: it is kept no longer than that is there. None of them: it tells of nothing that goes."""

    chat_key: Uid | None = None
    session_key: Uid | None = None
    participant_id: Uid | None = None


class KeptAnswer(msgspec.Struct, frozen=True):
    """What stands under a digest: that of the request, and the sealed answer; None while the request is under way."""

    request: bytes
    answer: bytes | None
