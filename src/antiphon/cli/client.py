"""Asking a server through its API: one request at a time, patient where the server asks for that, and never a trace.

What goes wrong is one line. Redirects are not followed: a key is shown to the server that was named, and to no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx2
import msgspec

from antiphon.cli.output import text_of
from antiphon.domain import limits
from antiphon.domain.errors import AntiphonError, InvalidInput, TenantNotFound
from antiphon.domain.tenants import is_name
from antiphon.settings import Address, is_loopback

T = TypeVar("T")

Query = Sequence[tuple[str, str]]
Content = Callable[[], bytes | AsyncIterator[bytes] | None]
"""Makes a body, anew for each try."""

Absent = Callable[[], AntiphonError]
"""Makes the error for what is not there: a class of them, as a rule."""

_PREFIX = "/antiphon/v1"
_TENANT = "x-tenant"
_BUSY = frozenset({429, 503})
_DOTS = {".": "%2E", "..": "%2E%2E"}
_NOT_FOUND = "not_found"


class Unreachable(AntiphonError):
    """The server does not answer, or not as Antiphon does."""

    code = "server_unreachable"


class Blocker(msgspec.Struct, frozen=True):
    """What stands in the way of a deletion."""

    kind: str
    id: str


class Problem(msgspec.Struct, frozen=True):
    """What a server says when it refuses: its stable code, and a sentence."""

    code: str
    detail: str
    blocked_by: list[Blocker] = []


class Refused(AntiphonError):
    """The server refused."""

    code = "server_refused"

    def __init__(self, problem: Problem, message: str | None = None) -> None:
        super().__init__(f"{text_of(message or problem.detail)} ({text_of(problem.code)})")
        self.problem = problem


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]
    next: str | None


class Client:
    """The API of a server. Paths begin after `/antiphon/v1`; `absent` is what is said for what is not there.

    Every verb raises Refused and Unreachable. 429 and 503 are asked again, for as long as the limits say; a POST brings
    an idempotency key, so that it is done once however often it is asked.
    """

    def __init__(self, address: Address, tenant: str | None) -> None:
        if tenant is not None and not is_name(tenant):
            raise TenantNotFound
        self._url = address.url
        headers = {"accept": "application/json, application/problem+json"}
        if address.key is not None:
            headers["x-api-key"] = address.key
        if tenant is not None:
            headers[_TENANT] = tenant
        silence, connect = limits.REMOTE_SILENCE_SECONDS, limits.REMOTE_CONNECT_SECONDS
        self._http = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(silence, connect=connect),
            # As with curl: authorities by SSL_CERT_FILE, proxies by HTTPS_PROXY; but never one to this very machine.
            trust_env=not is_loopback(urlsplit(address.url).hostname or ""),
        )

    def name_by_id(self, tenant_id: str) -> None:
        """Name the tenant by its id from here on: when it is deleted it has no name any more."""
        if _TENANT in self._http.headers:
            self._http.headers[_TENANT] = tenant_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, kind: type[T], query: Query = (), absent: Absent = TenantNotFound) -> T:
        """What GET answers, as that type."""
        async with self._opened("GET", path, query, absent) as response:
            return decoded(await self._read(response), kind)

    async def raw(self, path: str, absent: Absent) -> bytes:
        """What GET answers, byte for byte."""
        async with self._opened("GET", path, (), absent) as response:
            return await self._read(response)

    async def post(
        self, path: str, kind: type[T], body: Any, absent: Absent = TenantNotFound, tag: str | None = None
    ) -> T:
        """What POST answers; with `tag` only if the thing is still what that says."""
        headers = {"idempotency-key": str(uuid4()), **({} if tag is None else {"if-match": f'"{tag}"'})}
        return await self._write("POST", path, kind, body, absent, headers)

    async def patch(self, path: str, kind: type[T], body: Any, absent: Absent) -> T:
        """What PATCH answers."""
        return await self._write("PATCH", path, kind, body, absent, {})

    async def delete(self, path: str, absent: Absent) -> None:
        """Have something ended."""
        async with self._opened("DELETE", path, (), absent) as response:
            await self._read(response)

    async def send(self, path: str, kind: type[T], content: Content, media_type: str) -> T:
        """What POST answers to a body that is sent piece by piece."""
        headers = {"content-type": media_type}
        async with self._opened("POST", path, (), TenantNotFound, headers, content) as response:
            return decoded(await self._read(response), kind)

    async def items(self, path: str, query: Query = (), absent: Absent = TenantNotFound) -> AsyncIterator[msgspec.Raw]:
        """Everything in a list, page by page, each as it stands in its page."""
        asked = [*query, ("limit", str(limits.NATIVE_PAGE_ITEMS))]
        cursor: str | None = None
        while True:
            page = await self.get(path, _Page, asked if cursor is None else [*asked, ("cursor", cursor)], absent)
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def stream(self, path: str, query: Query, absent: Absent) -> AsyncIterator[bytes]:
        """A body of any size in pieces."""
        async with self._opened("GET", path, query, absent) as response:
            try:
                async for piece in response.aiter_bytes():
                    yield piece
            except httpx2.HTTPError as error:
                raise self._lost(error) from None

    async def _write(
        self, method: str, path: str, kind: type[T], body: Any, absent: Absent, headers: dict[str, str]
    ) -> T:
        try:
            content = msgspec.json.encode(body)
        except UnicodeEncodeError:
            raise InvalidInput("a text has a lone surrogate") from None
        headers = {"content-type": "application/json", **headers}
        async with self._opened(method, path, (), absent, headers, lambda: content) as response:
            return decoded(await self._read(response), kind)

    @asynccontextmanager
    async def _opened(
        self,
        method: str,
        path: str,
        query: Query,
        absent: Absent,
        headers: dict[str, str] | None = None,
        content: Content = lambda: None,
    ) -> AsyncIterator[httpx2.Response]:
        """The good answer to a request, its body not yet read. A busy server is asked again."""
        url, waited = f"{self._url}{_PREFIX}{path}", 0.0
        while True:
            try:
                request = self._http.build_request(method, url, params=list(query), headers=headers, content=content())
                response = await self._http.send(request, stream=True)
            except UnicodeEncodeError:  # a word of the command line that is no text names nothing
                raise absent() from None
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise self._lost(error) from None
            try:
                if response.is_success:
                    yield response
                    return
                pause = _pause_of(response)
                if pause is None or waited + pause > limits.REMOTE_PATIENCE_SECONDS:
                    raise self._refusal(response.status_code, await self._read(response), absent)
            finally:
                await response.aclose()
            await asyncio.sleep(pause)
            waited += pause

    async def _read(self, response: httpx2.Response) -> bytes:
        try:
            return await response.aread()
        except httpx2.HTTPError as error:
            raise self._lost(error) from None

    def _refusal(self, status: int, body: bytes, absent: Absent) -> AntiphonError:
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Unreachable(f"{self._url} answered with the status {status}, and not as Antiphon does")
        return Refused(problem, absent().message if problem.code == _NOT_FOUND else None)

    def _lost(self, error: Exception) -> Unreachable:
        """Why there is no answer. The texts of other errors may quote headers, and with them the key."""
        if isinstance(error, httpx2.ConnectError):
            return Unreachable(f"no connection to {self._url}: {text_of(str(error))}")
        if isinstance(error, httpx2.TimeoutException):
            return Unreachable(f"{self._url} does not answer")
        return Unreachable(f"the connection to {self._url} broke")


def path_of(kind: str, thing_id: str, rest: str = "", *, absent: Absent) -> str:
    """The path of one thing, whatever its id. Raises `absent` for what cannot be one."""
    try:
        segment = _DOTS.get(thing_id) or quote(thing_id, safe="")
    except UnicodeEncodeError:
        segment = ""
    if not segment:
        raise absent()
    return f"/{kind}/{segment}{rest}"


def _pause_of(response: httpx2.Response) -> float | None:
    """How long a busy server wants to be left alone; None for any other answer."""
    if response.status_code not in _BUSY:
        return None
    said = response.headers.get("retry-after", "")
    is_number = said.isascii() and said.isdigit() and len(said) <= limits.QUERY_NUMBER_DIGITS
    return max(limits.REMOTE_RETRY_SECONDS, float(said) if is_number else 0)


def decoded(raw: bytes | msgspec.Raw, kind: type[T]) -> T:
    """What a server has sent, as that type. Raises Unreachable for anything else."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unreachable("what the server answered is not what Antiphon answers") from None
