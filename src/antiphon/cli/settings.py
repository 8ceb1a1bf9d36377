"""`antiphon settings`: what a server started here would be told."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from antiphon.cli.output import complain, show_list
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir
from antiphon.settings import FIELDS, SECRETS, read_settings, sources, unknown_variables, variable_of


def show_settings(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show every setting, its value, and where that comes from. Secrets are shown as `set`."""
    overrides = {"data_dir": data_dir, "database_url": database_url}
    settings = read_settings(os.environ, overrides)
    where = sources(os.environ, overrides)
    items = [
        {"setting": variable_of(field), "value": _shown(field, getattr(settings, field)), "source": where[field]}
        for field in FIELDS
    ]
    show_list(items, as_json=as_json, nothing="")
    for name in unknown_variables(os.environ):
        complain(f"warning: {name} is no setting of this version")


def _shown(field: str, value: Any) -> str | int | None:
    """A value without its secrets: also a URL may hold a password."""
    if value is None or isinstance(value, int):
        return value
    if field in SECRETS:
        return "set"
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    if field.endswith("_url") and "@" in text:
        parts = urlsplit(text)
        return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()
    return text
