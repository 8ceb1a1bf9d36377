"""Size, names, docstrings and imports of the code under src/antiphon."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from tests.tidy.project import files_under

FUNCTION_LINES = 60
SHORT_FUNCTION_LINES = 34
FILE_LINES = 500
NAMES_OF_NOTHING = {"common", "helper", "helpers", "misc", "util", "utils"}
HEART = ("antiphon.core", "antiphon.domain")
HEART_IMPORTS = {*sys.stdlib_module_names, "antiphon", "msgspec"}

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources() -> dict[str, str]:
    """The modules of the product, path to text."""
    return files_under("src/antiphon", ".py")


# Size


def function_lengths(source: str) -> Iterator[tuple[str, int, int]]:
    """Name, first line and number of lines of every function, nested ones and methods too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, type_of_function):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def long_functions(files: dict[str, str]) -> list[str]:
    """Functions over the limit."""
    return [
        f"{path}:{line}: {name} has {length} lines, {FUNCTION_LINES} are allowed"
        for path, source in files.items()
        for name, line, length in function_lengths(source)
        if length > FUNCTION_LINES
    ]


def too_few_short_functions(files: dict[str, str]) -> list[str]:
    """The functions to shorten first, when fewer than nine in ten are short."""
    lengths = sorted(
        (
            (length, f"{path}:{line}: {name}")
            for path, source in files.items()
            for name, line, length in function_lengths(source)
        ),
        reverse=True,
    )
    longer = [f"{where} has {length} lines" for length, where in lengths if length > SHORT_FUNCTION_LINES]
    return longer if len(longer) * 10 > len(lengths) else []


def long_files(files: dict[str, str]) -> list[str]:
    """Files over the limit."""
    return [
        f"{path} has {len(text.splitlines())} lines, {FILE_LINES} are allowed"
        for path, text in files.items()
        if len(text.splitlines()) > FILE_LINES
    ]


def function_of(lines: int) -> str:
    """A function of so many lines."""
    return "def f():\n" + "    x = 1\n" * (lines - 1)


def test_functions_have_at_most_60_lines() -> None:
    assert long_functions(sources()) == []


def test_long_functions_are_found() -> None:
    assert long_functions({"a.py": function_of(60)}) == []
    assert long_functions({"a.py": function_of(61)}) == ["a.py:1: f has 61 lines, 60 are allowed"]


def test_nine_functions_in_ten_have_at_most_34_lines() -> None:
    assert too_few_short_functions(sources()) == []


def test_too_few_short_functions_are_found() -> None:
    short = {f"{i}.py": function_of(34) for i in range(9)}
    assert too_few_short_functions({**short, "a.py": function_of(35)}) == []
    assert too_few_short_functions({**short, "a.py": function_of(35), "b.py": function_of(36)}) == [
        "b.py:1: f has 36 lines",
        "a.py:1: f has 35 lines",
    ]


def test_files_have_at_most_500_lines() -> None:
    assert long_files({**sources(), **files_under("tests", ".py")}) == []


def test_long_files_are_found() -> None:
    assert long_files({"a.py": "x\n" * 500}) == []
    assert long_files({"a.py": "x\n" * 501}) == ["a.py has 501 lines, 500 are allowed"]


# Names and docstrings


def names_of_nothing(paths: list[str]) -> list[str]:
    """Paths with a part that names no thing."""
    return [
        path for path in paths if NAMES_OF_NOTHING & {part.removesuffix(".py").strip("_") for part in path.split("/")}
    ]


def test_modules_are_named_after_things() -> None:
    assert names_of_nothing([*sources(), *files_under("tests", ".py")]) == []


def test_names_of_nothing_are_found() -> None:
    bad = ["src/antiphon/utils.py", "src/antiphon/common/ids.py", "src/antiphon/_helpers.py"]
    assert names_of_nothing([*bad, "src/antiphon/domain/ids.py"]) == bad


def undocumented(files: dict[str, str]) -> list[str]:
    """Public modules, classes, functions and methods without a docstring; `@override` stands for the parent's."""
    found = []
    for path, source in files.items():
        tree = ast.parse(source)
        if ast.get_docstring(tree) is None:
            found.append(f"{path} has no docstring")
        for node, name in public_definitions(tree, ""):
            if ast.get_docstring(node) is None:
                found.append(f"{path}:{node.lineno}: {name} has no docstring")
    return found


def public_definitions(
    tree: ast.Module | ast.ClassDef, prefix: str
) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Classes, functions and methods that others may use, with their dotted names."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith(
            ("_", "test_")
        ):
            continue
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
        if marks & {"override", "overload", "setter", "deleter"}:
            continue
        yield node, prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node, f"{prefix}{node.name}.")


def test_public_names_have_a_docstring() -> None:
    assert undocumented(sources()) == []


def test_missing_docstrings_are_found() -> None:
    sample = "class A:\n    def b(self): ...\n    def _c(self): ...\ndef d(): ...\ndef _e(): ...\n"
    assert undocumented({"a.py": sample}) == [
        "a.py has no docstring",
        "a.py:1: A has no docstring",
        "a.py:2: A.b has no docstring",
        "a.py:4: d has no docstring",
    ]
    assert undocumented({"a.py": '"""A."""\n@override\ndef b(): ...\n'}) == []


# Imports


def imports_inside_functions(files: dict[str, str]) -> list[str]:
    """Imports in a function without `optional:` or `lazy:` and a reason, in a comment on that line or before."""
    found = []
    for path, source in files.items():
        lines = ["", *source.splitlines()]
        for function in ast.walk(ast.parse(source)):
            if not isinstance(function, type_of_function):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    said = f"{lines[node.lineno - 1]} {lines[node.lineno]}"
                    if not re.search(r"#.*\b(optional|lazy): \w+\W+\w+", said):
                        found.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    return sorted(set(found))


def test_imports_stand_at_the_top_or_say_why_not() -> None:
    assert imports_inside_functions(sources()) == []


def test_imports_inside_functions_are_found() -> None:
    sample = "def f():\n    import {}\n"
    assert imports_inside_functions({"a.py": sample.format("b")}) == ["a.py:2: import b"]
    assert imports_inside_functions({"a.py": sample.format("b  # lazy:")}) == ["a.py:2: import b"]
    assert imports_inside_functions({"a.py": sample.format("b  # lazy: takes a second")}) == []
    assert imports_inside_functions({"a.py": "def f():\n    # optional: the extra local\n    import b\n"}) == []


def module_name(path: str) -> str:
    """The dotted name of a file under src/."""
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported_names(name: str, path: str, source: str) -> Iterator[str]:
    """The dotted names that a module imports, relative ones resolved; `from a import b` gives `a.b`."""
    package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def import_graph(files: dict[str, str]) -> dict[str, set[str]]:
    """Who imports whom among the modules; importing `a.b` imports `a` too, so an `__init__` counts."""
    modules = {module_name(path) for path in files}
    graph: dict[str, set[str]] = {}
    for path, source in files.items():
        name = module_name(path)
        graph[name] = set()
        for imported in imported_names(name, path, source):
            parts = imported.split(".")
            targets = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
            graph[name] |= (targets & modules) - {name}
    return graph


def import_cycles(files: dict[str, str]) -> list[str]:
    """Modules that import themselves by way of others, one finding a module."""
    graph = import_graph(files)
    found = []
    for start in sorted(graph):
        waiting = [[start]]
        seen: set[str] = set()
        while waiting:
            way = waiting.pop(0)
            for target in sorted(graph[way[-1]]):
                if target == start:
                    found.append(" -> ".join([*way, start]))
                    waiting = []
                    break
                if target not in seen:
                    seen.add(target)
                    waiting.append([*way, target])
    return found


def test_modules_import_in_one_direction() -> None:
    assert import_cycles(sources()) == []


def test_import_cycles_are_found() -> None:
    one_way = {"src/p/__init__.py": "", "src/p/a.py": "import p.b", "src/p/b.py": "import os"}
    assert import_cycles(one_way) == []
    assert import_cycles({**one_way, "src/p/b.py": "from p import a"}) == ["p.a -> p.b -> p.a", "p.b -> p.a -> p.b"]
    assert import_cycles({**one_way, "src/p/b.py": "from . import a"}) == ["p.a -> p.b -> p.a", "p.b -> p.a -> p.b"]
    through_init = {"src/p/__init__.py": "from p.a import x", "src/p/a.py": "from p.b import x", "src/p/b.py": "x = 1"}
    assert import_cycles(through_init) == ["p -> p.a -> p", "p.a -> p -> p.a"]


def foreign_imports_of_the_heart(files: dict[str, str]) -> list[str]:
    """Imports in domain and core of anything but the standard library, msgspec and the project."""
    found = []
    for path, source in files.items():
        name = module_name(path)
        if name.startswith(HEART):
            foreign = {i.partition(".")[0] for i in imported_names(name, path, source)} - HEART_IMPORTS
            found += [f"{path} imports {package}" for package in sorted(foreign)]
    return found


def test_the_heart_uses_the_standard_library_and_msgspec() -> None:
    assert foreign_imports_of_the_heart(sources()) == []


def test_foreign_imports_of_the_heart_are_found() -> None:
    sample = "import os, msgspec, apsw\nfrom starlette.routing import Route\n"
    assert foreign_imports_of_the_heart({"src/antiphon/core/chats.py": sample}) == [
        "src/antiphon/core/chats.py imports apsw",
        "src/antiphon/core/chats.py imports starlette",
    ]
    assert foreign_imports_of_the_heart({"src/antiphon/api/http.py": sample}) == []
