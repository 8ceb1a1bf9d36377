"""The reference is complete: every route, command, option, metric, code and the value of every limit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from antiphon.api.honcho.errors import TABLE
from antiphon.api.lexicon.errors import ANSWERS
from antiphon.api.metrics import Metrics
from antiphon.api.native.errors import ROWS as NATIVE
from antiphon.api.recoup.errors import ROWS
from antiphon.api.server import Server
from antiphon.app import PARTS
from antiphon.cli.main import program
from antiphon.core.instance import Instance
from antiphon.domain import limits
from antiphon.settings import FIELDS, SECRETS, option_of, read_settings, variable_of
from tests.tidy.project import files_under, text_of


def rows(page: str) -> dict[str, list[str]]:
    """The rows of all tables of a page, by the name in code quotes that they begin with."""
    found = {}
    for line in text_of(f"docs/reference/{page}.md").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if line.startswith("| `"):
            found[cells[0].strip("`")] = cells[1:]
    return found


def test_every_route_is_documented_and_no_other(instance: Instance, tmp_path: Path) -> None:
    application = PARTS.build_server(instance, read_settings({"ANTIPHON_DATA_DIR": str(tmp_path)})).application
    assert isinstance(application, Server)
    served = {f"{route.method} {route.path}" for _, dialect in application._prefixes for route in dialect.routes.routes}
    assert served
    assert {name for name in rows("routes") if " " in name} == served


def test_every_limit_is_documented_with_its_value() -> None:
    documented = {name: float(cells[0]) for name, cells in rows("limits").items()}
    assert documented == {name: float(value) for name, value in vars(limits).items() if name.isupper()}


def test_every_code_of_the_core_is_documented_with_its_answers() -> None:
    told = rows("errors")
    everywhere = ANSWERS.keys() & ROWS.keys() & TABLE.keys() & NATIVE.keys()
    assert everywhere >= {"error", "chat_not_found", "store_unavailable"}
    for code in everywhere:
        answer = ANSWERS[code]
        native = f"{NATIVE[code].status} `{NATIVE[code].code}`"
        others = [str(ROWS[code].status), f"{answer.status} `{answer.error_code}`", str(TABLE[code][0])]
        assert told[code][2:] == [*others, native]


def test_every_code_of_the_edges_is_documented() -> None:
    edges = {**files_under("src/antiphon/api", ".py"), **files_under("src/antiphon/cli", ".py")}
    codes = {code for text in edges.values() for code in re.findall(r'^    code = "(\w+)"$', text, re.MULTILINE)}
    assert "route_not_found" in codes
    assert codes - set(rows("errors")) == set()


def test_every_metric_is_documented_and_no_other() -> None:
    families = re.findall(r"^# TYPE (\S+) (\w+)$", Metrics().text().decode(), re.MULTILINE)
    counted = {name: kind for name, kind in families if not name.endswith("_created")}
    assert counted == {name: cells[0] for name, cells in rows("metrics").items()}


def commands(group: Any, path: str) -> dict[str, Any]:
    """All commands below a group, by what one types."""
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found.update(commands(command, f"{path} {name}"))
        else:
            found[f"{path} {name}"] = command
    return found


@pytest.mark.parametrize("line", sorted(commands(typer.main.get_command(program), "antiphon")))
def test_every_command_is_documented_with_its_options(line: str) -> None:
    page = text_of("docs/reference/cli.md")
    assert f"`{line}" in page
    command = commands(typer.main.get_command(program), "antiphon")[line]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert {option for option in options if f"`{option}`" not in page} == {"--help"} & options


def test_serve_has_an_option_for_every_setting_that_is_no_secret() -> None:
    command = commands(typer.main.get_command(program), "antiphon")["antiphon serve"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert options == {option_of(field) for field in FIELDS if field not in SECRETS}
    told = rows("settings")
    for field in FIELDS:
        assert told[variable_of(field)][0] == ("–" if field in SECRETS else f"`{option_of(field)}`")
