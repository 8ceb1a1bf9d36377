"""A walk through Antiphon's own API with httpx: talk, follow the answer, export, delete, and check the proof.

    KEY=ant_… python tour.py [URL]

It needs `pip install httpx`, a running server, and a key that reaches a whole tenant.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid

import httpx

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


def main() -> None:
    """The walk."""
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"}
    with httpx.Client(base_url=f"{URL}/antiphon/v1", headers=headers, timeout=120) as api:
        caller = ask(api, "GET", "/whoami")
        print(f"this key is of the tenant {caller['tenant']['name']}")
        chat = make_chat(api)
        follow_an_answer(api, chat)
        export(api, chat)
        delete(api, chat)


def ask(api: httpx.Client, method: str, path: str, body: object = None, **headers: str) -> dict:
    """What a call gives; a problem (RFC 9457) ends the program with its stable code."""
    answer = api.request(method, path, json=body, headers=headers)
    if answer.is_error:
        problem = answer.json()
        raise SystemExit(f"{problem['status']} {problem['code']}: {problem['detail']}")
    return answer.json()


def make_chat(api: httpx.Client) -> str:
    """A chat with an id of ours, so that making it is safe to repeat; and what was said in it so far."""
    chat = str(uuid.uuid4())
    for _ in range(2):  # the second time it is there
        made = ask(api, "POST", "/chats", {"id": chat, "title": "Harbour", "participant": "ann"})
    print(f"chat {made['id']} of {made['participant']}")
    # A repeated request with the same Idempotency-Key stores nothing twice, and gives the same answer.
    said = {"messages": [{"role": "user", "text": "The ferry leaves at nine.", "client_id": "note-1"}]}
    key = str(uuid.uuid4())
    first = ask(api, "POST", f"/chats/{chat}/messages", said, **{"Idempotency-Key": key})
    again = ask(api, "POST", f"/chats/{chat}/messages", said, **{"Idempotency-Key": key})
    print(f"stored {len(first['messages'])} message, the same answer again: {first == again}")
    return chat


def follow_an_answer(api: httpx.Client, chat: str) -> None:
    """A turn of the agent, followed event by event; cut in the middle, and gone on with behind the last event."""
    turn = ask(api, "POST", f"/chats/{chat}/turns", {"message": {"text": "When does it leave?"}})
    print(f"turn {turn['id']} is {turn['state']}")
    text, last = "", None
    for stop_early in (True, False):
        headers = {} if last is None else {"Last-Event-ID": last}
        with api.stream("GET", f"/chats/{chat}/events", headers=headers) as events:
            for sequence, event in read_events(events):
                last = sequence
                text += event.get("text", "") if event["type"] == "text-added" else ""
                if stop_early and text:
                    break
    page = ask(api, "GET", f"/chats/{chat}/messages?order=desc&limit=1")
    kept = "".join(part.get("text", "") for part in page["items"][0]["parts"])
    print(f"the answer, cut and resumed, is the one that is kept: {text == kept}")


def read_events(answer: httpx.Response):
    """The events of a stream with their sequences."""
    if answer.status_code == 204:  # nothing is left to be told
        return
    answer.raise_for_status()
    sequence = ""
    for line in answer.iter_lines():
        if line.startswith("id: "):
            sequence = line[4:]
        elif line.startswith("data: "):
            yield sequence, json.loads(line[6:])


def export(api: httpx.Client, chat: str) -> None:
    """All of the chat as lines of JSON; the last one says that nothing is missing."""
    answer = api.get(f"/chats/{chat}/export")
    end = json.loads(answer.text.splitlines()[-1])
    print(f"exported {end['messages']} messages, whole: {end['end']}")


def delete(api: httpx.Client, chat: str) -> None:
    """Exactly what was looked at is deleted; then its receipt is there, and the chain of all of them holds."""
    target = {"kind": "chat", "id": chat}
    plan = ask(api, "POST", "/deletions/plan", {"target": target})
    order = {"target": target, "reason": "the tour is over"}
    deletion = ask(api, "POST", "/deletions", order, **{"If-Match": f'"{plan["digest"]}"'})
    print(f"deletion {deletion['id']} is {deletion['state']}; the chat: {api.get(f'/chats/{chat}').status_code}")
    while deletion["state"] != "done":
        time.sleep(0.2)
        deletion = ask(api, "GET", f"/deletions/{deletion['id']}")
    receipt = ask(api, "GET", f"/receipts/{deletion['receipt']}")
    print(f"receipt {receipt['id']}: {receipt['counts']}, bytes {receipt['bytes']}")
    verdict = ask(api, "GET", "/receipts/verify")
    print(f"the chain of {verdict['receipts']} receipts holds: {verdict['ok']}")


if __name__ == "__main__":
    main()
