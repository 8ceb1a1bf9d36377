"""Filter: which rows of a list are wanted, as a tree of conditions that every store can put to its database.

A condition on a field that is unset does not hold, whatever it asks but `NE` and `IS_NULL`; so what is negated holds
there. `fields` of a resource say which there are and of which kind their values are.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

EQ, NE, GT, GTE, LT, LTE = "eq", "ne", "gt", "gte", "lt", "lte"
IN, CONTAINS, IS_NULL, IS_SET = "in", "contains", "is_null", "is_set"
"""What may be asked of a field. `CONTAINS` is a substring in any case; `NE` holds for what is unset, too."""

ORDERS = {GT: ">", GTE: ">=", LT: "<", LTE: "<="}
"""The signs of those that compare by order."""

TEXT, NUMBER, MOMENT, FLAG, JSON = "text", "number", "moment", "flag", "json"
"""The kinds of fields. A moment is in microseconds; JSON is only asked by `Contained` and `KeyTest`."""

Value = str | int | float | bool


class FieldTest(msgspec.Struct, frozen=True):
    """What is asked of one field. `values` holds one value, for `IN` any number, for `IS_NULL` and `IS_SET` none."""

    field: str
    operator: str
    values: tuple[Value, ...] = ()


class Contained(msgspec.Struct, frozen=True):
    """The metadata holds all of this JSON object: nested objects in part, lists as sets."""

    part: str


class KeyTest(msgspec.Struct, frozen=True):
    """What is asked of a top-level key of the metadata, which holds for no row without that key.

    By a number only numbers are compared (for `NE` all else differs); by a text the texts of strings, numbers and
    booleans, in the order of code points. `IN` and `CONTAINS` go by texts.
    """

    key: str
    operator: str
    values: tuple[str | int | float, ...] = ()


class All(msgspec.Struct, frozen=True):
    """Every part holds; of none that is true."""

    parts: tuple[Filter, ...] = ()


class Some(msgspec.Struct, frozen=True):
    """One part holds, or more; of none that is false."""

    parts: tuple[Filter, ...] = ()


class Not(msgspec.Struct, frozen=True):
    """The part does not hold."""

    part: Filter


Filter = FieldTest | Contained | KeyTest | All | Some | Not

EVERYTHING = All()
NOTHING = Some()

TENANT_FIELDS: Mapping[str, str] = {"id": TEXT, "created_at": MOMENT, "metadata": JSON}
PARTICIPANT_FIELDS: Mapping[str, str] = {"id": TEXT, "tenant": TEXT, "created_at": MOMENT, "metadata": JSON}
SESSION_FIELDS: Mapping[str, str] = {
    "id": TEXT,
    "is_active": FLAG,
    "tenant": TEXT,
    "created_at": MOMENT,
    "metadata": JSON,
}
MESSAGE_FIELDS: Mapping[str, str] = {
    "author": TEXT,
    "session": TEXT,
    "tenant": TEXT,
    "created_at": MOMENT,
    "token_count": NUMBER,
    "metadata": JSON,
}
SEARCH_FIELDS: Mapping[str, str] = {**MESSAGE_FIELDS, "perspective": TEXT}
CONCLUSION_FIELDS: Mapping[str, str] = {
    "id": TEXT,
    "content": TEXT,
    "level": TEXT,
    "observer": TEXT,
    "observed": TEXT,
    "session": TEXT,
    "tenant": TEXT,
    "created_at": MOMENT,
    "times_derived": NUMBER,
    "metadata": JSON,
}
"""The fields of each resource. `perspective` takes `EQ` only: what a participant could see of its sessions."""
