"""Webhooks over HTTP, sent to addresses that were checked in the very moment of sending.

A name is resolved once a delivery, all that it stands for is judged, and the connection goes to one of these addresses:
nobody asks for the name a second time, so an answer that changes in between (DNS rebinding) changes nothing. The name
stays in `Host`, in TLS's server name, and is what the certificate must be for.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx2

from antiphon.domain import limits
from antiphon.domain.addresses import is_public
from antiphon.domain.webhooks import Outcome

GONE = 410
TIMEOUT, UNREACHABLE, PRIVATE, BAD_URL = "timeout", "unreachable", "private_address", "bad_url"
REDIRECT, REFUSED, BROKEN = "redirect", "bad_status", "broken_answer"
"""Why a delivery failed; `bad_status` goes with the status."""


class _Private(Exception):
    """The name stands for an address that is not public."""


class HttpSender:
    """`core.ports.webhooks.Sender`. `allow_private` lets everything through, for receivers of one's own network."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        whole_seconds: float = limits.WEBHOOK_SECONDS,
        connect_seconds: float = limits.WEBHOOK_CONNECT_SECONDS,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._whole_seconds = whole_seconds
        # Threads of our own: names that take long to resolve must not keep those of others waiting.
        self._resolvers = ThreadPoolExecutor(limits.WEBHOOKS_AT_ONCE, thread_name_prefix="antiphon-names")
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(whole_seconds, connect=connect_seconds),
            trust_env=False,
            follow_redirects=False,
            verify=verify or httpx2.create_ssl_context(trust_env=False),
            # A connection is for one delivery: kept for the next, it would belong to an address and not to a name.
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """See the port."""
        try:
            async with asyncio.timeout(self._whole_seconds):
                return await self._send(httpx2.URL(url), headers, body)
        except _Private:
            return Outcome(PRIVATE)
        except (TimeoutError, httpx2.TimeoutException):
            return Outcome(TIMEOUT)
        except (httpx2.ConnectError, OSError):
            return Outcome(UNREACHABLE)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, ValueError):
            return Outcome(BAD_URL)
        except httpx2.HTTPError:
            return Outcome(BROKEN)

    async def close(self) -> None:
        """See the port."""
        await self._client.aclose()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def _send(self, url: httpx2.URL, headers: Mapping[str, str], body: bytes) -> Outcome:
        addresses = await self._resolve(url)
        for address in addresses[:-1]:
            try:
                return await self._post(url, address, headers, body)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing was sent: the next address of the name may answer
        return await self._post(url, addresses[-1], headers, body)

    async def _resolve(self, url: httpx2.URL) -> list[str]:
        """Some addresses of the URL's host. Raises _Private when any is not public, OSError when there is none."""
        host = url.raw_host.decode("ascii")
        found = await asyncio.get_running_loop().run_in_executor(self._resolvers, resolve, host)
        if not found:
            raise OSError
        if not self._allow_private and not all(is_public(address) for address in found):
            raise _Private
        return found[: limits.WEBHOOK_ADDRESSES]

    async def _post(self, url: httpx2.URL, address: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        host = url.raw_host.decode("ascii")
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={**headers, "host": url.netloc.decode("ascii"), "accept": "*/*", "accept-encoding": "identity"},
            extensions={"sni_hostname": host},
        )
        answer = await self._client.send(request, stream=True)
        try:
            await _taste(answer)
        finally:
            await answer.aclose()
        if answer.is_success:
            return Outcome(status=answer.status_code)
        error = REDIRECT if answer.is_redirect else REFUSED
        return Outcome(error, answer.status_code, is_gone=answer.status_code == GONE)


async def _taste(answer: httpx2.Response) -> None:
    """Read a little of the body, so that a receiver that wrote a little is not cut off; the rest is nobody's concern.

    What it is does not matter, and neither does whether it ends well: the status has been said.
    """
    size = 0
    try:
        async for piece in answer.aiter_raw():
            size += len(piece)
            if size >= limits.WEBHOOK_RESPONSE_BYTES:
                return
    except httpx2.TransportError:
        return


def resolve(host: str) -> list[str]:
    """The addresses of a host, each once, in the system's order. Raises OSError when it has none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
