"""What SIGKILL leaves of requests with an `Idempotency-Key`: another process goes on, and nothing is there twice."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import httpx

from antiphon.domain import limits, times
from tests.server_process import ServerProcess

CHAT = "/antiphon/v1/chats/c"
WRITERS = 8
ENOUGH = 60
ATTEMPTS = 5
PATIENCE_SECONDS = 60
CLAIMS = "SELECT count(*) FROM idempotency WHERE answer IS NULL"
OVER = "UPDATE idempotency SET expires_at = expires_at - ? WHERE answer IS NULL"


class Writer:
    """Says one thing after another, each under a key of its own, until its server is gone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: dict[str, bytes] = {}
        self.unanswered = ""

    def write(self, http: httpx.Client, changed: threading.Event) -> None:
        """Go on until nobody answers; what was asked last is `unanswered`."""
        for number in itertools.count():
            said = f"{self.name}.{number}"
            try:
                answer = say(http, said)
            except httpx.TransportError:
                self.unanswered = said
                return
            assert answer.status_code == 201, answer.text
            self.answers[said] = answer.content
            changed.set()


def say(http: httpx.Client, said: str, text: str = "") -> httpx.Response:
    """Append a message under a key; `said` is the key, the message's client id and its text, if there is no other."""
    body = {"messages": [{"role": "user", "client_id": said, "text": text or said}]}
    return http.post(f"{CHAT}/messages", json=body, headers={"idempotency-key": said})


def client(server: ServerProcess, key: str) -> httpx.Client:
    """Who asks a server, as often as one likes."""
    return httpx.Client(base_url=server.url, headers={"x-api-key": key}, timeout=PATIENCE_SECONDS)


def write_and_kill(server: ServerProcess, key: str, attempt: int) -> list[Writer]:
    """Many write side by side; the server is killed in the middle of it."""
    writers = [Writer(f"{attempt}.{number}") for number in range(WRITERS)]
    changed = threading.Event()
    with client(server, key) as http:
        threads = [threading.Thread(target=writer.write, args=(http, changed)) for writer in writers]
        for thread in threads:
            thread.start()
        while sum(len(writer.answers) for writer in writers) < ENOUGH:
            assert changed.wait(PATIENCE_SECONDS), "the writers stand still"
            changed.clear()
        server.kill()
        for thread in threads:
            thread.join()
    return writers


def there(http: httpx.Client) -> list[str]:
    """The client ids of all messages."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = http.get(f"{CHAT}/messages", params={"limit": "200", **cursor}).raise_for_status().json()
        found += [item["client_id"] for item in page["items"]]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def check(http: httpx.Client, database: apsw.Connection, writers: list[Writer]) -> int:
    """Ask another process for everything again; how many requests the kill had cut off."""
    for writer in writers:
        for said, content in writer.answers.items():
            again = say(http, said)
            assert (again.content, again.headers["idempotency-replayed"]) == (content, "true")
    asked = [writer.unanswered for writer in writers]
    left = database.execute(CLAIMS).fetchall()[0][0]
    assert isinstance(left, int)
    with ThreadPoolExecutor(WRITERS) as pool:
        answers = dict(zip(asked, pool.map(lambda said: say(http, said), asked), strict=True))
    held = [said for said, answer in answers.items() if answer.status_code == 409]
    assert {answers[said].json()["code"] for said in held} <= {"in_progress"}
    assert {answer.status_code for said, answer in answers.items() if said not in held} <= {200, 201}
    assert len(held) == left
    for is_over in (False, True):
        if is_over:
            database.execute(OVER, (limits.IDEMPOTENCY_LEASE_SECONDS * times.SECOND,))
        for said in held:
            other = say(http, said, "something else")
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    for said in held:
        assert say(http, said).status_code in (200, 201)
    assert sorted(there(http)) == sorted({*there(http)}), "something is there twice"
    assert {*asked}.union(*(writer.answers for writer in writers)) <= {*there(http)}
    return left


def test_a_request_is_cut_off_by_sigkill(tmp_path: Path) -> None:
    """Its key is held until the lease is over, and for another request beyond that; then the work is done."""
    data_dir, more = tmp_path / "data", {"ANTIPHON_REST_RATE_LIMIT": "0"}
    with ServerProcess(data_dir, **more) as other, client(other, key := other.key("user")) as http:
        http.post("/antiphon/v1/chats", json={"id": "c"}).raise_for_status()
        database = apsw.Connection(str(data_dir / "antiphon.db"))
        database.set_busy_timeout(1_000 * PATIENCE_SECONDS)
        try:
            for attempt in range(ATTEMPTS):
                with ServerProcess(data_dir, **more) as server:
                    writers = write_and_kill(server, key, attempt)
                if check(http, database, writers):
                    return
        finally:
            database.close()
    raise AssertionError("no kill came in the middle of a request: nothing was shown")
