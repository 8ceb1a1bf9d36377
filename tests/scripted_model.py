"""A model's server for tests: OpenAI's chat completions, whose answer stands in the last thing that the user said.

Its embeddings count letters, and fail in the same words, which may stand in any of the texts (`list`: as numbers).

`[[tokens=20 delay_ms=50]]` that many pieces with a pause before each; `[[text=hello]]` that text; `[[error=500]]` a
status (`times=2`: only for the first two requests; `retry_after=1`: with that header); `[[unready=2]]` 503 for the
second request; `[[drop=2]]` the first two are met by a closed connection; `[[error_after=2 tokens=5]]` the connection
breaks after two pieces; `[[hang]]` nothing more after them; `[[garbage]]` a chunk that is no JSON; `[[fades]]` the body
ends without a word of it; `[[empty]]` an end without a text; `[[thinks]]` a thought before the rest.
`[[tool=name args={...}]]` a tool call, and once it is answered `The tool has answered.`; with `calls=3` three of them
in one step, with `hang` nothing more in the middle of the arguments, with `again` a call in every step, with `bare`
calls without ids, with `refused` 400 for a request that offers tools. Otherwise `You said: ` and the words. As a
program: `python -m tests.scripted_model --port 8199`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

THOUGHT = "Let me see."

_DIRECTIVE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
_ARGUMENTS = re.compile(r"\bargs=(\{.*\})", re.DOTALL)


@dataclass
class Call:
    """One request: what was asked for, and how it ended (None while it is being answered)."""

    number: int
    body: dict[str, Any]
    outcome: str | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def said(self) -> str:
        """The last thing that the user said."""
        users = [m["content"] for m in self.body.get("messages", []) if m["role"] == "user"]
        return str(users[-1]) if users else ""

    @property
    def results(self) -> list[str]:
        """What tools have answered since then."""
        found: list[str] = []
        for message in self.body.get("messages", []):
            if message["role"] == "user":
                found.clear()
            elif message["role"] == "tool":
                found.append(message["content"])
        return found

    def end(self, outcome: str) -> None:
        """Note how it ended."""
        self.outcome = outcome
        self.ended.set()


class ScriptedModel:
    """A small HTTP server; `calls` are the completions it was asked for, `asked` is set by the first.

    While `stale` is set, a kept-alive connection is closed as soon as the next request on it has come in.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.stale = asyncio.Event()
        self.url = ""
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[ScriptedModel]:
        """Serve on loopback while inside."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()
            while self._open:
                for connection in list(self._open):
                    connection.cancel()
                await asyncio.sleep(0)  # until each has ended
            await asyncio.sleep(0)  # and its socket is closed

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) and not self.stale.is_set():
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                await self._answer(head.split(b" ", 2)[1].decode(), body, reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # what is still to be sent is nobody's, and there is no loop to send it
        finally:
            self._open.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            self.stale.clear()
            writer.close()

    async def _answer(self, path: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if path.endswith("/models"):
            _send_json(writer, 200, {"object": "list", "data": [{"id": "scripted-1", "object": "model"}]})
            return
        call = Call(len(self.calls) + 1, json.loads(body))
        self.calls.append(call)
        if path.endswith("/embeddings"):
            if "[[hang]]" in call.body["input"]:
                await asyncio.Event().wait()
            _embed(call, writer)
            call.end("done")
            return
        self.asked.set()
        gone = asyncio.ensure_future(reader.read(1))
        work = asyncio.ensure_future(_complete(call, writer))
        try:
            await asyncio.wait([gone, work], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
                call.end("done")
            else:
                call.end("client_gone")
        except OSError:
            call.end("client_gone")
            raise
        finally:
            for task in (gone, work):
                task.cancel()
            await asyncio.wait([gone, work])


def _embed(call: Call, writer: asyncio.StreamWriter) -> None:
    """A vector of three dimensions for each text: how often it has a, e and o; the last first, which the index says."""
    texts = call.body["input"]
    if _fails_at_once(call, _plan(" ".join(texts)), writer):
        return
    data = []
    for i, text in enumerate(texts):
        numbers: object = [float(text.count(letter)) + 0.1 for letter in "aeo"]
        if call.body.get("encoding_format") == "base64" and "[[list]]" not in text:
            numbers = base64.b64encode(array("f", cast("list[float]", numbers)).tobytes()).decode()
        data.append({"object": "embedding", "index": i, "embedding": numbers})
    if "[[garbage]]" in " ".join(texts):
        data[0]["embedding"] = "no vector"
    _send_json(writer, 200, {"object": "list", "data": data[::-1], "model": call.body["model"]})


async def _complete(call: Call, writer: asyncio.StreamWriter) -> None:
    plan = _plan(call.said)
    if _fails_at_once(call, plan, writer):
        return
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    if "thinks" in plan:
        _send_event(writer, json.dumps(_chunk(call, {"reasoning_content": THOUGHT})))
    calls_tool = "tool" in plan and ("again" in plan or not call.results)
    deltas = _call_deltas(call, plan) if calls_tool else [{"content": piece} for piece in _pieces(plan, call)]
    for i, delta in enumerate(deltas):
        if str(i) == plan.get("error_after"):
            writer.transport.abort()
            return
        await asyncio.sleep(int(plan.get("delay_ms", 0)) / 1000)
        _send_event(writer, json.dumps(_chunk(call, delta)))
        await writer.drain()
    if "hang" in plan:
        await asyncio.Event().wait()
    if "fades" in plan:
        writer.write(b"0\r\n\r\n")
        return
    if "garbage" in plan:
        _send_event(writer, "{not json")
    _send_event(writer, json.dumps(_chunk(call, {}, "tool_calls" if calls_tool else "stop")))
    usage = {"prompt_tokens": 1, "completion_tokens": len(deltas), "total_tokens": len(deltas) + 1}
    _send_event(writer, json.dumps({**_chunk(call, {}), "choices": [], "usage": usage}))
    _send_event(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _fails_at_once(call: Call, plan: dict[str, str], writer: asyncio.StreamWriter) -> bool:
    """Answer with a status or a closed connection, where the script says so."""
    if call.number <= int(plan.get("drop", 0)):
        writer.transport.abort()
        return True
    if str(call.number) == plan.get("unready"):
        plan = {"error": "503"}
    status = "400" if "refused" in plan and call.body.get("tools") else plan.get("error")
    if status is None or call.number > int(plan.get("times", call.number)):
        return False
    headers = f"retry-after: {plan['retry_after']}\r\n" if "retry_after" in plan else ""
    _send_json(writer, int(status), {"error": {"message": "scripted"}}, headers)
    return True


def _plan(said: str) -> dict[str, str]:
    found = _DIRECTIVE.search(said)
    if found is None:
        return {}
    if found[1].startswith("text="):
        return {"text": found[1][5:]}
    arguments = _ARGUMENTS.search(said)  # which may end in brackets themselves
    words = (said[found.start() + 2 : arguments.start()] if arguments else found[1]).split()
    plan = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    return {**plan, "args": arguments[1]} if arguments else plan


def _pieces(plan: dict[str, str], call: Call) -> list[str]:
    if "tokens" in plan:
        return [("" if i == 0 else " ") + f"t{i}" for i in range(int(plan["tokens"]))]
    if {"hang", "empty", "garbage"} & set(plan):
        return []
    otherwise = "The tool has answered." if call.results else f"You said: {' '.join(call.said.split())}"
    return re.findall(r"\s*\S+|\s+$", plan.get("text", otherwise))


def _call_deltas(call: Call, plan: dict[str, str]) -> list[dict[str, Any]]:
    """The calls, their arguments in two pieces each; all that comes before a hang when there is one."""
    arguments = plan.get("args", "{}")
    halves = [arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]]
    deltas: list[dict[str, Any]] = []
    for i in range(int(plan.get("calls", 1))):
        head = {"index": i, "function": {"name": plan["tool"], "arguments": ""}}
        if "bare" not in plan:
            head |= {"id": f"call_{call.number}_{i}", "type": "function"}
        deltas.append({"tool_calls": [head]})
        deltas += [{"tool_calls": [{"index": i, "function": {"arguments": half}}]} for half in halves]
    return deltas[:2] if "hang" in plan else deltas


def _chunk(call: Call, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.number}",
        "created": 1_700_000_000,
        "object": "chat.completion.chunk",
        "model": call.body["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


def _send_event(writer: asyncio.StreamWriter, data: str) -> None:
    raw = f"data: {data}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(raw), raw))


def _send_json(writer: asyncio.StreamWriter, status: int, body: object, headers: str = "") -> None:
    raw = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + raw)


async def _main(port: int) -> None:
    async with ScriptedModel().serving(port) as model:
        print(model.url, flush=True)  # noqa: T201  it is a program here
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a scripted model")
    parser.add_argument("--port", type=int, default=8199)
    asyncio.run(_main(parser.parse_args().port))
