"""The filters of lists, as far as they are understood: one id or some, and whether a session is active."""

from __future__ import annotations

from typing import Any

from antiphon.api.honcho.wire import ListOptions
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput


def wanted_ids(options: ListOptions | None, *, has_activity: bool = False) -> list[str] | None:
    """The ids that the filter asks for, each once; None when it asks for all.

    `has_activity` also takes `is_active`: everything shown is active. Raises InvalidInput for any other filter.
    """
    rules = dict((options and options.filters) or {})
    if has_activity and "is_active" in rules:
        if not isinstance(is_active := rules.pop("is_active"), bool):
            raise InvalidInput("the filter is_active takes true or false", field="filters")
        if not is_active:
            return []
    if not rules:
        return None
    ids = _ids_in(rules.pop("id", None))
    if rules or ids is None:
        raise InvalidInput("this filter is not supported: use id, or id with in", field="filters")
    if len(ids) > limits.HONCHO_FILTER_IDS:
        raise InvalidInput(f"a filter names at most {limits.HONCHO_FILTER_IDS} ids", field="filters")
    return ids


def refuse_filters(options: ListOptions | None) -> None:
    """Raises InvalidInput when there is any filter."""
    if options is not None and options.filters:
        raise InvalidInput("filters of messages are not supported", field="filters")


def _ids_in(rule: Any) -> list[str] | None:
    """The ids of `"x"`, `["x", …]` or `{"in": ["x", …]}`; None for any other rule, the wildcard among them."""
    if isinstance(rule, dict) and set(rule) == {"in"}:
        rule = rule["in"]
    elif isinstance(rule, str):
        rule = [rule]
    if not isinstance(rule, list) or not all(isinstance(one, str) and one != "*" for one in rule):
        return None
    return list(dict.fromkeys(rule))
