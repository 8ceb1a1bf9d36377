"""The files of the repository: locked, self-contained, and nothing in them that belongs to one machine."""

from __future__ import annotations

import ast
import re

from tests.tidy.project import files_under, project_files, text_of

# Put together here, so that this file does not have what it looks for.
REGISTRIES = [
    ".".join(parts)
    for parts in (("pypi", "org"), ("files", "pythonhosted"), ("registry", "npmjs"), ("deb", "debian", "org"))
]
MACHINE_FOLDERS = ["work", "root"]


def foreign_hosts(files: dict[str, str]) -> list[str]:
    """Lines that name a package registry: where packages come from is the reader's configuration, not ours."""
    return [
        f"{path}:{number}: {host}"
        for path, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        for host in REGISTRIES
        if host in line
    ]


def machine_paths(files: dict[str, str]) -> list[str]:
    """Lines with an absolute path into a folder of the machine that they were written on."""
    pattern = re.compile(rf"(?<![\w.~}}-])/({'|'.join(MACHINE_FOLDERS)})/")
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_registry() -> None:
    assert foreign_hosts(project_files()) == []


def test_registries_are_found() -> None:
    sample = "\n".join(["one", *(f"--index-url https://{host}/simple" for host in REGISTRIES)])
    assert len(foreign_hosts({"a.lock": sample})) == len(REGISTRIES)
    assert foreign_hosts({"a.lock": "httpx2==2.16.2"}) == []


def test_no_file_has_a_path_of_one_machine() -> None:
    assert machine_paths(project_files()) == []


def test_paths_of_one_machine_are_found() -> None:
    for folder in MACHINE_FOLDERS:
        assert machine_paths({"a.md": f"x\nsee /{folder}/notes.md"}) == [f"a.md:2: see /{folder}/notes.md"]
        assert machine_paths({"a.md": f"https://x.example/{folder}/1 and src/{folder}/ and /{folder}s/"}) == []


# Locks


def pins_of(lock: str) -> dict[str, str]:
    """Name and version of every locked package."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock, re.MULTILINE))


def faults_of_lock(lock: str) -> list[str]:
    """Entries without a hash, and options that would send the reader somewhere."""
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n?", "", lock, flags=re.MULTILINE))
    found = [entry.splitlines()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry]
    return found or ([] if pins_of(lock) else ["nothing is locked"])


def test_locks_have_hashes_and_no_options() -> None:
    for path, text in files_under("requirements", ".lock").items():
        assert faults_of_lock(text) == [], path


def test_faults_of_locks_are_found() -> None:
    good = "# head\na==1 \\\n    --hash=sha256:0\n    # via b\n"
    assert faults_of_lock(good) == []
    assert faults_of_lock(good + "b==2\n") == ["b==2"]
    assert faults_of_lock("--index-url x\n" + good) == ["--index-url x"]
    assert faults_of_lock("# head\n") == ["nothing is locked"]


def test_the_lock_of_the_tests_holds_that_of_the_server() -> None:
    serve, test = pins_of(text_of("requirements/serve.lock")), pins_of(text_of("requirements/test.lock"))
    assert serve
    assert {name: version for name, version in serve.items() if test.get(name) != version} == {}


# Tests


def unexplained(files: dict[str, str]) -> list[str]:
    """Sleeps, skips and expected failures without a comment of three words or more on the line or the one before."""
    found = []
    for path, source in files.items():
        lines = ["", *source.splitlines()]
        for node in ast.walk(ast.parse(source)):
            name = evasion_of(node)
            number = getattr(node, "lineno", 0)
            if name and not any(re.search(r"#.*\w+\W+\w+\W+\w+", line) for line in lines[number - 1 : number + 1]):
                found.append(f"{path}:{number}: {name}")
    return found


def evasion_of(node: ast.AST) -> str | None:
    """The dotted name, when the node is one of the things a test must explain."""
    if (
        isinstance(node, ast.ImportFrom)
        and node.module == "time"
        and any(alias.name == "sleep" for alias in node.names)
    ):
        return "time.sleep"
    if isinstance(node, ast.Attribute):
        name = ast.unparse(node)
        if re.fullmatch(r"time\.sleep|pytest\.(mark\.)?(skip|skipif|xfail|importorskip)", name):
            return name
    return None


def test_sleeps_and_skips_have_a_reason() -> None:
    assert unexplained(files_under("tests", ".py")) == []


def test_unexplained_sleeps_and_skips_are_found() -> None:
    for name in ("time.sleep", "pytest.skip", "pytest.xfail", "pytest.mark.skipif", "pytest.mark.xfail"):
        assert unexplained({"a.py": f"x = 1\n{name}(1)\n"}) == [f"a.py:2: {name}"]
        assert unexplained({"a.py": f"{name}(1)  # later\n"}) == [f"a.py:1: {name}"]
        assert unexplained({"a.py": f"# the kernel has no such call\n{name}(1)\n"}) == []
    assert unexplained({"a.py": "from time import sleep\n"}) == ["a.py:1: time.sleep"]


# Exceptions to the linter


def unreasoned_exceptions(pyproject: str) -> list[str]:
    """Rules that are switched off without a comment that says why."""
    return [line.strip() for line in pyproject.splitlines() if re.fullmatch(r'\s+"[A-Z]{1,6}\d*",(\s*#\W*)?', line)]


def test_every_exception_to_the_linter_has_a_reason() -> None:
    assert unreasoned_exceptions(text_of("pyproject.toml")) == []


def test_unreasoned_exceptions_are_found() -> None:
    sample = '    "E501",\n    "D", # why\n    "S101", #\n'
    assert unreasoned_exceptions(sample) == ['"E501",', '"S101", #']
