"""Reading a request: JSON from its body and numbers from its query, or the exact entries of a 422."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import pydantic

from antiphon.api.honcho.errors import InvalidRequest
from antiphon.api.http import Request, decode_json
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput, MalformedBody

Model = TypeVar("Model", bound=pydantic.BaseModel)

_BYTE = re.compile(r"\(byte (\d+)\)$")


def is_json(request: Request) -> bool:
    """Whether the body is said to be JSON: `application/json` or `application/<something>+json`."""
    given = request.header(b"content-type")
    if given == "application/json":
        return True
    kind, _, sub = (given or "").partition(";")[0].strip().lower().partition("/")
    return kind == "application" and (sub == "json" or sub.endswith("+json"))


async def read_body(request: Request, model: type[Model]) -> Model:
    """The body as a model. Raises InvalidRequest, also when there is none, and BodyTooLarge."""
    return model_of(request, model, await request.body())


async def read_optional_body(request: Request, model: type[Model]) -> Model | None:
    """The body as a model; None when there is none or it is `null`. Raises InvalidRequest and BodyTooLarge."""
    raw = await request.body()
    value = _value_of(request, raw) if raw else None
    return None if value is None else validate(model, value, ("body",))


def model_of(request: Request, model: type[Model], raw: bytes) -> Model:
    """A body that has been read, as a model. Raises InvalidRequest."""
    value = _value_of(request, raw) if raw else None
    if value is None:
        raise InvalidRequest([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}])
    return validate(model, value, ("body",))


def validate(model: type[Model], value: Any, place: tuple[str, ...]) -> Model:
    """The value as a model. Raises InvalidRequest with entries whose places begin with `place`."""
    try:
        return model.model_validate(value, from_attributes=True)  # from attributes: so that the wire's codes come out
    except pydantic.ValidationError as error:
        raise InvalidRequest([_entry(dict(found), place) for found in error.errors(include_url=False)]) from None


def _entry(found: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    found["loc"] = [*place, *found["loc"]]
    if isinstance(found["input"], bytes):
        found["input"] = found["input"].decode("utf-8", "replace")
    if "ctx" in found:
        found["ctx"] = {name: {} if isinstance(v, Exception) else v for name, v in found["ctx"].items()}
    return found


def value_error(place: list[str | int], message: str, given: Any) -> InvalidRequest:
    """The error of a rule that needed more than the request to be checked."""
    entry = {
        "type": "value_error",
        "loc": place,
        "msg": f"Value error, {message}",
        "input": given,
        "ctx": {"error": {}},
    }
    return InvalidRequest([entry])


def _value_of(request: Request, raw: bytes) -> Any:
    """The JSON of a body; the bytes themselves when they are not said to be JSON, which no model takes."""
    if not is_json(request):
        return raw
    try:
        return decode_json(raw)
    except MalformedBody as error:
        offset, reason = _first_fault(raw, error)
    entry = {
        "type": "json_invalid",
        "loc": ["body", offset],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": reason},
    }
    raise InvalidRequest([entry])


def _first_fault(raw: bytes, error: MalformedBody) -> tuple[int, str]:
    """Where JSON stops being JSON, in characters, and why; found by a second, slower reading of what is not long."""
    if len(raw) > limits.EXPLAINED_BODY_BYTES:
        return 0, "Invalid JSON"
    try:
        json.loads(raw.decode())
    except UnicodeDecodeError as fault:
        return fault.start, "Invalid UTF-8"
    except json.JSONDecodeError as fault:
        return fault.pos, fault.msg
    except (RecursionError, ValueError):
        raise InvalidInput(f"JSON nested deeper than {limits.JSON_DEPTH} levels, or a number too long") from None
    place = _BYTE.search(str(error.__context__ or ""))  # what only the first reading refuses, such as NaN
    return int(place[1]) if place else 0, "Invalid value"
