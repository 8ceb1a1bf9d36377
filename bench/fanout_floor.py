"""The floor of the fan-out: uvicorn, `websockets`, and one loop that sends each token to every socket.

`python -m bench.fanout_floor PORT`; `GET /go?tokens=N&per_second=R` begins a broadcast and is answered at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any
from urllib.parse import parse_qs

import uvicorn

SOCKETS: set[Any] = set()
TASKS: set[asyncio.Task[None]] = set()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Keep sockets; begin a broadcast when told to."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        SOCKETS.add(send)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        SOCKETS.discard(send)
    elif scope["type"] == "http":
        query = parse_qs(scope["query_string"].decode())
        task = asyncio.create_task(broadcast(int(query["tokens"][0]), float(query["per_second"][0])))
        TASKS.add(task)
        task.add_done_callback(TASKS.discard)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def broadcast(tokens: int, per_second: float) -> None:
    """Every token to everybody."""
    for _ in range(tokens):
        text = f"{time.monotonic_ns():019d}#"
        for send in list(SOCKETS):
            await send({"type": "websocket.send", "text": text})
        await asyncio.sleep(1 / per_second)


if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off")
