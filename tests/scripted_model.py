"""A model's server for tests: OpenAI's chat completions, whose answer stands in the last thing that the user said.

`[[tokens=20 delay_ms=50]]` that many pieces with a pause before each; `[[text=hello]]` that text; `[[error=500]]` a
status; `[[error_after=2 tokens=5]]` the connection breaks after two pieces; `[[hang]]` nothing more after them;
`[[garbage]]` a chunk that is no JSON; `[[empty]]` an end without a text. Otherwise `You said: ` and the words. As a
program: `python -m tests.scripted_model --port 8199`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

_DIRECTIVE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


@dataclass
class Call:
    """One request: what was asked for, and how it ended (None while it is being answered)."""

    body: dict[str, Any]
    outcome: str | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def said(self) -> str:
        """The last thing that the user said."""
        users = [m["content"] for m in self.body.get("messages", []) if m["role"] == "user"]
        return str(users[-1]) if users else ""

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

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[ScriptedModel]:
        """Serve on loopback while inside."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) and not self.stale.is_set():
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                await self._answer(head.split(b" ", 2)[1].decode(), body, reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.stale.clear()
            writer.close()

    async def _answer(self, path: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if path.endswith("/models"):
            _send_json(writer, 200, {"object": "list", "data": [{"id": "scripted-1", "object": "model"}]})
            return
        call = Call(json.loads(body))
        self.calls.append(call)
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


async def _complete(call: Call, writer: asyncio.StreamWriter) -> None:
    plan = _plan(call.said)
    if "error" in plan:
        _send_json(writer, int(plan["error"]), {"error": {"message": "scripted"}})
        return
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    pieces = _pieces(plan, call.said)
    for i, piece in enumerate(pieces):
        if str(i) == plan.get("error_after"):
            writer.transport.abort()
            return
        await asyncio.sleep(int(plan.get("delay_ms", 0)) / 1000)
        _send_event(writer, json.dumps(_chunk(call, {"content": piece})))
        await writer.drain()
    if "hang" in plan:
        await asyncio.Event().wait()
    if "garbage" in plan:
        _send_event(writer, "{not json")
    _send_event(writer, json.dumps(_chunk(call, {}, "stop")))
    usage = {"prompt_tokens": 1, "completion_tokens": len(pieces), "total_tokens": len(pieces) + 1}
    _send_event(writer, json.dumps({**_chunk(call, {}), "choices": [], "usage": usage}))
    _send_event(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _plan(said: str) -> dict[str, str]:
    found = _DIRECTIVE.search(said)
    if found is None:
        return {}
    if found[1].startswith("text="):
        return {"text": found[1][5:]}
    return {word.partition("=")[0]: word.partition("=")[2] for word in found[1].split()}


def _pieces(plan: dict[str, str], said: str) -> list[str]:
    if "tokens" in plan:
        return [("" if i == 0 else " ") + f"t{i}" for i in range(int(plan["tokens"]))]
    if {"hang", "empty", "garbage"} & set(plan):
        return []
    return re.findall(r"\s*\S+|\s+$", plan.get("text", f"You said: {' '.join(said.split())}"))


def _chunk(call: Call, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "model": call.body["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


def _send_event(writer: asyncio.StreamWriter, data: str) -> None:
    raw = f"data: {data}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(raw), raw))


def _send_json(writer: asyncio.StreamWriter, status: int, body: object) -> None:
    raw = json.dumps(body).encode()
    writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(raw)))
    writer.write(raw)


async def _main(port: int) -> None:
    async with ScriptedModel().serving(port) as model:
        print(model.url, flush=True)  # noqa: T201  it is a program here
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a scripted model")
    parser.add_argument("--port", type=int, default=8199)
    asyncio.run(_main(parser.parse_args().port))
