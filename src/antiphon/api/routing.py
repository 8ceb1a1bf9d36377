"""Routes: what each path and method does, and what it takes and gives, in one table a dialect.

The table is matched against the decoded segments of the raw path, and the served OpenAPI document is made from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from antiphon.api.http import Reply, Request, StreamReply
from antiphon.domain.errors import AntiphonError

Handler = Callable[[Request], Awaitable[Reply | StreamReply]]


class RouteNotFound(AntiphonError):
    """There is no such route."""

    code = "route_not_found"


class MethodNotAllowed(AntiphonError):
    """The route exists, but not with this method. `allowed` are the methods that it has."""

    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__()
        self.allowed = tuple(sorted(allowed))


class Query(msgspec.Struct, frozen=True):
    """A parameter in the query or, as `place` says, in a header, for the document; `schema` is a JSON Schema."""

    name: str
    schema: dict[str, Any]
    description: str = ""
    is_required: bool = False
    place: str = "query"


class Content(msgspec.Struct, frozen=True):
    """A body of a media type of its own, for the document, with an example where its schema has none."""

    kind: Any
    media_type: str
    example: Any = None


class Route(msgspec.Struct, frozen=True):
    """One operation. `path` has placeholders in braces; `answers` says which body each status has (None: no body).

    `body` is the type of the JSON body, a `Content`, or None; a body type that need not be sent is marked by
    `is_body_optional`. A type is a msgspec Struct, a pydantic model, one of them or None, or anything else that msgspec
    can describe; as a `Content` it is of another media type than the route's, and as a tuple of them of whichever the
    client has asked for.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, Any]
    body: Any = None
    is_body_optional: bool = False
    query: tuple[Query, ...] = ()
    is_public: bool = False
    media_type: str = "application/json"


class _Node:
    __slots__ = ("children", "name", "parameter", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.name = ""
        self.routes: dict[str, Route] = {}


class RouteTable:
    """Routes by path and method; a literal segment goes before a placeholder. HEAD is served wherever GET is.

    A literal segment with other methods hides no placeholder: what is named `list` can be changed and deleted.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        self._placeholders: dict[str, list[tuple[int, str]]] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        segments = route.path.split("/")[1:]
        self._placeholders[route.path] = [(at, s[1:-1]) for at, s in enumerate(segments) if s.startswith("{")]
        for segment in segments:
            if segment.startswith("{"):
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"two routes for {route.method} {route.path}")
        node.routes[route.method] = route

    def match(self, request: Request) -> Route:
        """The route of a request, its placeholders in `request.params`. Raises RouteNotFound and MethodNotAllowed."""
        method = "GET" if request.method == "HEAD" else request.method
        node = _walk(self._root, request.segments, 0, method)
        if node is None:
            if (other := _walk(self._root, request.segments, 0, None)) is None:
                raise RouteNotFound
            raise MethodNotAllowed([*other.routes, *(["HEAD"] if "GET" in other.routes else [])])
        route = node.routes[method]
        for at, name in self._placeholders[route.path]:
            request.params[name] = request.segments[at]
        request.route = route.path
        return route


def _walk(node: _Node, segments: Sequence[str], at: int, method: str | None) -> _Node | None:
    """The node of a path that serves the method, or (None) any."""
    if at == len(segments):
        return node if method in node.routes or (method is None and node.routes) else None
    child = node.children.get(segments[at])
    if child is not None and (found := _walk(child, segments, at + 1, method)) is not None:
        return found
    if node.parameter is not None and segments[at]:
        return _walk(node.parameter, segments, at + 1, method)
    return None
