"""What waits for the writer, in two lanes: what somebody waits for, and what is patient, such as a step of a purge.

The lanes take turns, so neither waits for more than one batch of the other. Who comes while a batch is being done joins
its commit instead of waiting for it: a patient step makes others wait for what is left of it, not for a disk twice.
"""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from collections.abc import Callable
from typing import Any

from antiphon.domain import limits


class Job:
    """An operation, and where its outcome is awaited. One that `goes_on` is done up to `rounds` times."""

    __slots__ = ("_goes_on", "_rounds", "future", "is_patient", "loop", "operation")

    def __init__(
        self,
        operation: Callable[[Any], Any],
        loop: asyncio.AbstractEventLoop,
        *,
        is_patient: bool = False,
        goes_on: Callable[[Any], bool] | None = None,
        rounds: int = 1,
    ) -> None:
        self.operation = operation
        self.loop = loop
        self.is_patient = is_patient
        self.future: asyncio.Future[Any] = loop.create_future()
        self._goes_on = goes_on
        self._rounds = rounds

    def has_more_after(self, outcome: Any) -> bool:
        """Whether it is to be done once more after a round with that outcome, for which somebody still waits."""
        self._rounds -= 1
        if self._goes_on is None or self._rounds <= 0 or isinstance(outcome, BaseException) or self.future.done():
            return False
        return self._goes_on(outcome)


class Alone(Job):
    """Something outside of any transaction; it is patient."""

    __slots__ = ()


class Lanes:
    """Any thread puts, the writer's alone takes."""

    def __init__(self) -> None:
        self._arrivals: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._prompt: deque[Job] = deque()
        self._patient: deque[Job] = deque()
        self._is_turn_of_patient = False
        self._is_closed = False

    def __len__(self) -> int:
        return self._arrivals.qsize() + len(self._prompt) + len(self._patient)

    def put(self, job: Job) -> None:
        """Let it wait."""
        self._arrivals.put(job)

    def again(self, job: Job) -> bool:
        """Let what has had its turn wait for the next, unless the end has come: whether it does. The writer's alone."""
        if not self._is_closed:
            self._patient.append(job)
        return not self._is_closed

    def close(self) -> None:
        """Nothing more comes."""
        self._arrivals.put(None)

    def next_batch(self) -> list[Job]:
        """What is to be done next, WRITE_BATCH_OPERATIONS at most; waits for it. Nothing at the end, after `close`.

        What wants to be alone is.
        """
        self._sort(may_wait=not self._prompt and not self._patient)
        lane = (self._patient or self._prompt) if self._is_turn_of_patient else (self._prompt or self._patient)
        self._is_turn_of_patient = lane is self._prompt
        if lane and isinstance(lane[0], Alone):
            return [lane.popleft()]
        return _taken(lane, limits.WRITE_BATCH_OPERATIONS)

    def latecomers(self, count: int) -> list[Job]:
        """Who has come while a batch of so many was being done, and will not wait for the next."""
        self._sort(may_wait=False)
        return _taken(self._prompt, limits.WRITE_BATCH_OPERATIONS - count)

    def _sort(self, *, may_wait: bool) -> None:
        while (may_wait and not self._is_closed) or not self._arrivals.empty():
            job = self._arrivals.get()
            may_wait = False
            if job is None:
                self._is_closed = True
            else:
                (self._patient if job.is_patient else self._prompt).append(job)


def _taken(lane: deque[Job], most: int) -> list[Job]:
    taken: list[Job] = []
    while len(taken) < most and lane and not isinstance(lane[0], Alone):
        taken.append(lane.popleft())
    return taken
