"""`python -m bench.foreign [--requests N]`: whether time tells what is foreign from what is nowhere.

One server, two tenants. A key of the first asks for ids of the second and for ids that nobody has, in an order that
chance makes, and the two sets of times are compared by the rank sum test of Mann and Whitney. The figure is the chance
that a foreign id takes longer than an unknown one: 0.5 when time tells nothing. Noise moves it by about 0.4 / sqrt(N);
the table says by how many of its standard deviations it is off.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import httpx
import msgspec

from antiphon.core.keys import Keys
from antiphon.core.tenants import Tenants
from antiphon.domain.messages import USER, Draft
from antiphon.domain.participants import PEER
from antiphon.stores.sqlite.store import SqliteStore
from bench.machine import cores, describe
from bench.processes import Process, python

CASES = (
    ("GET", "/chats/{}"),
    ("GET", "/chats/{}/messages"),
    ("GET", "/chats/{}/export"),
    ("GET", "/sessions/{}"),
    ("DELETE", "/chats/{}"),
)
REQUESTS, WARM_UP_REQUESTS = 3_000, 300
CHATS = 200
DEVIATIONS_MAX = 4.0
_MICROSECONDS = 1_000_000


class Places(msgspec.Struct, frozen=True):
    """A key of one tenant, and ids of another's chats, which are those of their sessions too."""

    key: str
    foreign: list[str]


async def make(data_dir: Path) -> Places:
    """Two tenants; the second has chats with a message in each."""
    store = await SqliteStore.open(data_dir)
    try:
        ours, theirs = [await Tenants(store).create(name) for name in ("ours", "theirs")]
        _, key = await Keys(store).create(ours.id)
        zoe, _ = await store.participants.ensure(theirs.id, PEER, "zoe")
        ids = []
        for _ in range(CHATS):
            chat = await store.chats.put_single(theirs.id, zoe.id, str(uuid.uuid4()), None, None)
            await store.messages.append(theirs.id, chat.key, [Draft("zoe", USER, "hello")])
            ids.append(chat.id)
        return Places(key, ids)
    finally:
        await store.close()


def seconds_of(client: httpx.Client, method: str, path: str) -> float:
    """How long one refusal takes."""
    began = time.perf_counter()
    answer = client.request(method, path)
    took = time.perf_counter() - began
    if answer.status_code != httpx.codes.NOT_FOUND:
        raise SystemExit(f"{method} {path}: {answer.status_code}, and not 404")
    return took


def measure(client: httpx.Client, places: Places, method: str, path: str, requests: int) -> tuple[list[float], ...]:
    """The times for foreign ids and for unknown ones."""
    chance = random.Random(path)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP_REQUESTS + requests):
        is_foreign = chance.random() < 1 / 2
        name = chance.choice(places.foreign) if is_foreign else str(uuid.uuid4())
        took = seconds_of(client, method, path.format(name))
        if number >= WARM_UP_REQUESTS:
            times[0 if is_foreign else 1].append(took)
    return times


def rank_sum(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The chance that one of the first is greater than one of the second, and its distance from 1/2 in deviations."""
    both = sorted([(value, True) for value in first] + [(value, False) for value in second])
    ranks = sum(rank for rank, (_, is_first) in enumerate(both, start=1) if is_first)
    n, m = len(first), len(second)
    greater = ranks - n * (n + 1) / 2
    return greater / (n * m), (greater - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def report(requests: int) -> bool:
    """Print the table; whether no case is off by more than chance explains."""
    with tempfile.TemporaryDirectory() as place:
        data_dir = Path(place) / "data"
        places = asyncio.run(make(data_dir))
        environment = {
            "ANTIPHON_DATA_DIR": str(data_dir),
            "ANTIPHON_REST_RATE_LIMIT": "0",
            "ANTIPHON_MODEL_URL": "http://127.0.0.1:9/v1",
            "ANTIPHON_MODEL": "none",
        }
        command = python("-m", "antiphon", "serve", "--host", "127.0.0.1", "--port", "0")
        with Process("antiphon", command, cores()[0], Path(place), **environment) as process:
            base = process.line_after("ready ") + "/antiphon/v1"
            with httpx.Client(base_url=base, headers={"authorization": f"Bearer {places.key}"}) as client:
                return _print_table(client, places, requests)


def _print_table(client: httpx.Client, places: Places, requests: int) -> bool:
    print("| request | foreign, median | unknown, median | chance | deviations |\n|---|---|---|---|---|")
    worst = 0.0
    for method, path in CASES:
        foreign, unknown = measure(client, places, method, path, requests)
        chance, deviations = rank_sum(foreign, unknown)
        medians = " | ".join(f"{median(times) * _MICROSECONDS:.0f} µs" for times in (foreign, unknown))
        print(f"| {method} {path.format('{id}')} | {medians} | {chance:.3f} | {deviations:+.1f} |")
        worst = max(worst, abs(deviations))
    print(f"\nOff by {worst:.1f} standard deviations at most; more than {DEVIATIONS_MAX:.0f} would tell something.")
    return worst <= DEVIATIONS_MAX


def main() -> None:
    """Measure and print; the exit status is 1 when time tells something."""
    parser = argparse.ArgumentParser(prog="bench.foreign", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="so many a case")
    requests = parser.parse_args().requests
    print(f"{describe()}, {requests} requests a case\n")
    sys.exit(0 if report(requests) else 1)


if __name__ == "__main__":
    main()
