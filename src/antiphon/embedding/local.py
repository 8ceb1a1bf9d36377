"""Vectors made in this process by a small model, with no account and no network."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import onnxruntime

from antiphon.core.ports.embeddings import Vector
from antiphon.domain import limits
from antiphon.domain.errors import AgentFailed
from antiphon.embedding import weights
from antiphon.embedding.vectors import pack
from antiphon.embedding.wordpiece import WordPiece

_NAME = "all-MiniLM-L6-v2-int8"
_NICENESS = 10  # requests go before what is embedded in the background
_FATAL = 4  # of the engine's log, whose lines are not ours: nothing below that


class LocalEmbedder:
    """`core.ports.embeddings.Embedder` over all-MiniLM-L6-v2: 384 dimensions, English, the first 256 tokens of a text.

    It runs on one thread of its own, below the others in priority, a text at a time: many at once take as long (the
    engine lets go of the interpreter meanwhile). So a question waits for one text of the background at most. The model
    is read at first use, in a third of a second, and takes some 100 MB.
    """

    batch = limits.EMBEDDING_BATCH_LOCAL

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="antiphon-embedding", initializer=_step_back)
        self._model: _Model | None = None

    async def name(self) -> str:
        """See the port."""
        return _NAME

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See the port."""
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(self._thread, self._embed, text) for text in texts]

    async def close(self) -> None:
        """See the port."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _embed(self, text: str) -> Vector:
        try:
            if self._model is None:
                self._model = _Model()
            return pack(self._model.run(text))
        except AgentFailed:
            raise
        except Exception:  # noqa: BLE001  the engine has errors of its own, which may quote what they were given
            raise AgentFailed("the local embeddings failed") from None


class _Model:
    """The network and its tokenizer."""

    def __init__(self) -> None:
        vocabulary = json.loads(weights.VOCABULARY.read())["model"]["vocab"]
        self._tokens = WordPiece(vocabulary, limits.EMBEDDING_TOKENS_LOCAL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        self._session = onnxruntime.InferenceSession(weights.MODEL.read(), options, providers=["CPUExecutionProvider"])

    def run(self, text: str) -> list[float]:
        """The mean of what the network says of each token, as the model's card asks for."""
        numbers = np.array([self._tokens.numbers_of(text[: limits.EMBEDDING_CHARACTERS])], dtype=np.int64)
        ones, zeros = np.ones_like(numbers), np.zeros_like(numbers)
        given: dict[str, Any] = {"input_ids": numbers, "attention_mask": ones, "token_type_ids": zeros}
        (hidden,) = self._session.run(["last_hidden_state"], given)
        mean: list[float] = hidden[0].mean(axis=0).tolist()
        return mean


def _step_back() -> None:
    """Lower the priority of this thread alone, where the system has such a thing."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
