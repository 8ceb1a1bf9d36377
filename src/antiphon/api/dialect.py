"""What every dialect is to the server: a prefix, a table of routes, and a way to say no."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from antiphon.api.http import Reply, Request, StreamReply
from antiphon.api.routing import RouteTable
from antiphon.domain.errors import AntiphonError


class Dialect(ABC):
    """One wire. `respond` may be overridden where the wire has an order of checks of its own."""

    name: ClassVar[str]
    has_own_cors: ClassVar[bool] = False
    routes: RouteTable

    async def respond(self, request: Request) -> Reply | StreamReply:
        """The answer to a request. Raises AntiphonError, which the server hands to `refuse`."""
        return await self.routes.match(request).handler(request)

    @abstractmethod
    def refuse(self, request: Request, error: AntiphonError) -> Reply:
        """The answer that tells of an error in this wire's own shape; never raises."""
