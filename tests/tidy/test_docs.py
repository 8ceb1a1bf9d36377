"""What is not documented is red: limits, settings, error codes, dependencies; and no link of the docs leads nowhere."""

from __future__ import annotations

import ast
import re
from pathlib import PurePosixPath
from typing import Any

from tests.tidy.project import ROOT, files_under, metadata, project_files, text_of


def unmentioned(names: list[str], text: str) -> list[str]:
    """Names that the text does not have as a whole word in code quotes; it must at least be asked for one."""
    assert names, "no name was found to look for"
    return [name for name in names if not re.search(rf"`{re.escape(name)}`", text)]


def test_unmentioned_names_are_found() -> None:
    text = "`A_BYTES` and `b` but not B or `C_BYTES_MORE`"
    assert unmentioned(["A_BYTES", "B", "b", "C_BYTES"], text) == ["B", "C_BYTES"]


# Limits


def limits_of(source: str) -> list[str]:
    """The constants of a module."""
    found = []
    for node in ast.parse(source).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found += [
            target.id
            for target in targets
            if isinstance(target, ast.Name) and re.fullmatch(r"[A-Z][A-Z0-9_]*", target.id)
        ]
    return found


def test_every_limit_is_documented() -> None:
    names = limits_of(text_of("src/antiphon/domain/limits.py"))
    assert unmentioned(names, text_of("docs/reference/limits.md")) == []


def unused(names: list[str], code: str) -> list[str]:
    """Limits that no code names: they promise what nothing keeps."""
    return [name for name in names if not re.search(rf"\b{re.escape(name)}\b", code)]


def test_every_limit_is_used() -> None:
    code = [text for path, text in files_under("src/antiphon", ".py").items() if not path.endswith("domain/limits.py")]
    assert unused(limits_of(text_of("src/antiphon/domain/limits.py")), "\n".join(code)) == []


def test_unused_limits_are_found() -> None:
    assert unused(["A_BYTES", "B_BYTES"], "limits.A_BYTES\nlimits.B_BYTES_MORE") == ["B_BYTES"]


def test_limits_are_found() -> None:
    assert limits_of("A_B = 1\nC: int = 2\n_D = 3\ne = 4\ndef f():\n    G = 5\n") == ["A_B", "C"]


# Settings


def settings_of(source: str) -> list[str]:
    """The environment variables of the fields of the class `Settings`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Settings":
            fields = [
                item.target.id
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            ]
            return [f"ANTIPHON_{field.upper()}" for field in fields if not field.startswith("_")]
    return []


def test_every_setting_is_documented() -> None:
    names = settings_of(text_of("src/antiphon/settings.py"))
    assert unmentioned(names, text_of("docs/reference/settings.md")) == []


def test_settings_are_found() -> None:
    sample = "class Settings:\n    data_dir: str = 'data'\n    port: int = 1\n    def f(self): ...\n"
    assert settings_of(sample) == ["ANTIPHON_DATA_DIR", "ANTIPHON_PORT"]
    assert settings_of("class Other:\n    port: int\n") == []


# Error codes


def codes_of(source: str) -> list[str]:
    """The values of the class attribute `code`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                target = (
                    item.target
                    if isinstance(item, ast.AnnAssign)
                    else item.targets[0]
                    if isinstance(item, ast.Assign)
                    else None
                )
                value = item.value if isinstance(item, ast.AnnAssign | ast.Assign) else None
                if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant):
                    found.append(str(value.value))
    return found


def repeated(names: list[str]) -> list[str]:
    """Names that occur more than once."""
    return sorted({name for name in names if names.count(name) > 1})


def test_every_error_code_is_documented_and_unique() -> None:
    codes = codes_of(text_of("src/antiphon/domain/errors.py"))
    assert unmentioned(codes, text_of("docs/reference/errors.md")) == []
    assert repeated(codes) == []


def test_error_codes_are_found() -> None:
    sample = "class A(E):\n    code: ClassVar[str] = 'a'\nclass B(A):\n    code = 'b'\nclass C(A):\n    kind = 'c'\n"
    assert codes_of(f"{sample}code = 'd'\n") == ["a", "b"]
    assert repeated(["a", "b", "a"]) == ["a"]


# Dependencies


def dependencies_of(project: dict[str, Any]) -> list[str]:
    """The names of all distributions that pyproject.toml asks for, whatever for."""
    lists = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"].get("optional-dependencies", {}).values(),
        *project.get("dependency-groups", {}).values(),
    ]
    return sorted({re.split(r"[\s\[<>=!~;]", entry)[0] for entries in lists for entry in entries})


def test_every_dependency_has_a_reason() -> None:
    decisions = "\n".join(files_under("docs/decisions", ".md").values())
    assert unmentioned(dependencies_of(metadata()), decisions) == []


def test_dependencies_are_found() -> None:
    sample = {
        "build-system": {"requires": ["a>=1"]},
        "project": {"dependencies": ["b[x]>=1", "c; python_version<'3'"], "optional-dependencies": {"x": ["d==1"]}},
        "dependency-groups": {"test": ["e~=1", "a"]},
    }
    assert dependencies_of(sample) == ["a", "b", "c", "d", "e"]


# Links


def broken_links(files: dict[str, str], existing: set[str]) -> list[str]:
    """Relative links and pictures in Markdown whose file or folder does not exist, or whose heading is not in it."""
    folders = {str(parent) for path in existing for parent in PurePosixPath(path).parents}
    found = []
    for path, text in files.items():
        for target in re.findall(r"\]\(\s*<?([^)\s>]+)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            name, _, heading = target.partition("#")
            place = resolve(PurePosixPath(path).parent, name) if name else path
            is_there = place in existing or place in folders
            if not is_there or (heading and place in files and heading not in headings_of(files[place])):
                found.append(f"{path}: {target}")
    return found


def resolve(folder: PurePosixPath, name: str) -> str:
    """The path of a link, from the root of the project; one that leaves the project stays as it is."""
    parts: list[str] = [] if name.startswith("/") else list(folder.parts)
    for part in PurePosixPath(name.lstrip("/")).parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) or "."


def headings_of(text: str) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ +(.+?) *$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_relative_link_leads_somewhere() -> None:
    pages = {path: text for path, text in project_files().items() if path.endswith(".md")}
    existing = {
        str(path.relative_to(ROOT))
        for folder in ("docs", "src", "tests", "scripts", "bench", "requirements")
        for path in (ROOT / folder).rglob("*")
    }
    assert pages
    assert broken_links(pages, existing | set(project_files())) == []


def test_broken_links_are_found() -> None:
    pages = {
        "README.md": "[a](docs/a.md) [b](docs/b.md) [c](docs/) [d](https://x.example/y) `[e](f.md)`",
        "docs/a.md": "# One, two\n[a](../README.md) [b](../LICENCE) [c](#one-two) [d](#three) [e](/README.md)",
    }
    assert broken_links(pages, set(pages)) == ["README.md: docs/b.md", "docs/a.md: ../LICENCE", "docs/a.md: #three"]
