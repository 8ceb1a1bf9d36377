"""Counting tokens in OpenAI's `o200k_base`, whose vocabulary is inside the library."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rs_bpe.bpe import openai

_lock = threading.Lock()
_count: Callable[[str], int] | None = None


def count_tokens(text: str) -> int:
    """How many tokens a text has; from any thread. The first call loads the vocabulary (about 0.15 s)."""
    global _count
    if _count is None:
        with _lock:
            if _count is None:
                _count = openai.o200k_base().count
    return _count(text)
