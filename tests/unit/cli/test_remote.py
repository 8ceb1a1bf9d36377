"""Commands that speak to a server elsewhere, with a server that does not do what it should."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from antiphon.app import PARTS
from antiphon.cli.main import OF_THE_MACHINE, program
from antiphon.domain import limits
from antiphon.settings import BadSetting, read_address

KEY = "planted-and-never-to-be-seen"
WHOAMI = {"tenant": {"id": "01980000-0000-7000-8000-000000000000", "name": "acme"}}


@dataclass
class Answer:
    """What the server says next; `cut` ends the connection before all of the body is there."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class Scripted:
    """A server that gives these answers in turn, the last one for ever, and keeps what it was asked."""

    url: str
    answers: list[Answer]
    asked: list[tuple[str, str, dict[str, str]]]

    def run(self, *words: str) -> tuple[int, str, str]:
        """Status, output and complaint of a command that asks it."""
        done = invoke("--url", self.url, "--key", KEY, *words)
        assert KEY not in done[1] + done[2]
        return done


def invoke(*words: str, **variables: str) -> tuple[int, str, str]:
    clean = {name: None for name in os.environ if name.startswith("ANTIPHON_")}
    done = CliRunner().invoke(program, words, obj=PARTS, env={**clean, **variables})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def handler_of(scripted: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            scripted.asked.append((self.command, self.path, headers))
            answer = scripted.answers.pop(0) if len(scripted.answers) > 1 else scripted.answers[0]
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body) + answer.cut))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.cut

        do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815  names of the standard library

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  likewise
            pass

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[..., Scripted]]:
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: Answer, tls: ssl.SSLContext | None = None) -> Scripted:
        scripted = Scripted("", list(answers), [])
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(scripted))
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        scripted.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        return scripted

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def told(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(value).encode(), {name.replace("_", "-"): text for name, text in headers.items()})


def problem(status: int, code: str, **headers: str) -> Answer:
    return told({"code": code, "detail": "Try again."}, status, **headers)


MADE = {
    "id": "key_x",
    "participant": None,
    "scopes": ["tenant"],
    "session": None,
    "label": None,
    "created_at": "2026-03-01T00:00:00.000000Z",
    "expires_at": None,
    "key": "shown-once",
}


@pytest.mark.parametrize(("status", "headers"), [(503, {"retry_after": "0"}), (503, {}), (429, {"retry_after": "0"})])
def test_a_busy_server_is_asked_again_for_the_same_thing(
    serve: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(limits, "REMOTE_RETRY_SECONDS", 0.01)
    busy = problem(status, "store_unavailable", **headers)
    server = serve(told(WHOAMI), busy, busy, told(MADE, 201))
    assert json.loads(server.run("keys", "create", "--tenant", "acme", "--json")[1])["key"] == "shown-once"
    tries = [headers for method, path, headers in server.asked if (method, path) == ("POST", "/antiphon/v1/keys")]
    assert (len(tries), len({headers["idempotency-key"] for headers in tries})) == (3, 1)
    assert {(headers["x-api-key"], headers["x-tenant"]) for headers in tries} == {(KEY, WHOAMI["tenant"]["id"])}


def test_who_is_told_to_wait_for_long_does_not(serve: Callable[..., Scripted]) -> None:
    server = serve(problem(503, "store_unavailable", retry_after=str(limits.REMOTE_PATIENCE_SECONDS + 1)))
    assert server.run("chats", "list") == (1, "", "antiphon: Try again. (store_unavailable)\n")
    assert len(server.asked) == 1


def test_a_redirect_is_not_followed(serve: Callable[..., Scripted]) -> None:
    other = serve(told({"items": [], "next": None}))
    server = serve(Answer(302, headers={"location": f"{other.url}/antiphon/v1/chats"}))
    status, out, why = server.run("chats", "list")
    assert (status, out, "the status 302" in why, other.asked) == (1, "", True, [])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(502, b"<html>Bad Gateway</html>"),
        Answer(200, b"<html>It works!</html>"),
        Answer(200, b"\xff"),
        told({"items": [{"id": "x"}], "next": None}),
        told([]),
        Answer(200, b'{"items":[', cut=True),
        problem(400, "evil\x1b[2J"),
    ],
)
def test_a_server_that_is_none_of_ours_is_told_in_one_line(serve: Callable[..., Scripted], answer: Answer) -> None:
    status, out, why = serve(answer).run("chats", "list")
    assert (status, out, why.count("\n"), why.startswith("antiphon: "), "\x1b" in why) == (1, "", 1, True, False)


def test_pages_are_followed_to_the_end(serve: Callable[..., Scripted]) -> None:
    receipts = [{"sequence": number} for number in range(3)]
    pages = [told({"items": [each], "next": f"c{each['sequence']}"}) for each in receipts]
    pages[-1] = told({"items": [receipts[-1]], "next": None})
    server = serve(told(WHOAMI), *pages)
    out = server.run("receipts", "list", "--lines")[1]
    assert [json.loads(line) for line in out.splitlines()] == receipts
    assert [path.partition("cursor=")[2] for _, path, _ in server.asked[1:]] == ["", "c0", "c1"]


def test_times_read_as_on_the_machine(serve: Callable[..., Scripted]) -> None:
    server = serve(told(WHOAMI), told({"items": [MADE], "next": None}))
    (item,) = json.loads(server.run("keys", "list", "--json")[1])["items"]
    assert (item["created_at"], item["tenant"]) == ("2026-03-01T00:00:00Z", "acme")
    server = serve(told(WHOAMI), told({"items": [{**MADE, "created_at": "soon"}], "next": None}))
    assert server.run("keys", "list") == (
        1,
        "",
        "antiphon: what the server answered is not what Antiphon answers\n",
    )


BODY = b'{"type":"export"}\n' + b'{"type":"message","text":"' + b"x" * 5_000 + b'"}\n'


def ended(body: bytes, digest: str | None = None) -> bytes:
    sha256 = digest or hashlib.sha256(body).hexdigest()
    return body + json.dumps({"end": True, "messages": 1, "sha256": sha256}, separators=(",", ":")).encode() + b"\n"


def test_a_whole_export_is_passed_on(serve: Callable[..., Scripted]) -> None:
    server = serve(Answer(200, ended(BODY)))
    assert server.run("export", "chat", "a/b") == (0, ended(BODY).decode(), "")
    assert server.asked[0][1] == "/antiphon/v1/chats/a%2Fb/export?format=jsonl"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(200, BODY), "the export was cut: its last line is missing"),
        (Answer(200, ended(BODY)[:-1]), "the export was cut: its last line is missing"),
        (Answer(200, b""), "the export was cut: its last line is missing"),
        (Answer(200, ended(BODY, "0" * 64)), "the export is not what was sent: its checksum does not fit"),
        (Answer(200, ended(BODY).replace(b"xx", b"xy", 1)), "the export is not what was sent"),
        (Answer(200, BODY, cut=True), "the export was cut: the connection to "),
    ],
)
def test_an_export_that_is_not_whole_is_told(serve: Callable[..., Scripted], answer: Answer, reason: str) -> None:
    status, out, why = serve(answer).run("export", "chat", "c")
    assert (status, out) == (1, answer.body.decode())
    assert why.startswith(f"antiphon: {reason}")
    assert why.count("\n") == 1


def test_an_import_is_sent_whole_and_followed_to_its_end(
    serve: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("antiphon.cli.remote.LOOK_SECONDS", 0.01)
    (tmp_path / "f").write_bytes(ended(BODY))
    known = {"id": "imp_x", "target": {"kind": "chat", "id": "c"}, "state": "writing", "done": 0, "total": 1}
    writing, failed = {**known, "last_error": None}, {**known, "state": "failed", "last_error": "chat_full"}
    server = serve(told(writing, 202), told(writing), told(failed))
    status, out, why = server.run("import", str(tmp_path / "f"))
    assert (status, out) == (1, "")
    assert why == "antiphon: the import was given up (chat_full), and nothing of it is there\n"
    assert [method for method, _, _ in server.asked] == ["POST", "GET", "GET"]


def self_signed(folder: Path) -> ssl.SSLContext:
    """A context with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([]), dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    unsigned = unsigned.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    certificate = unsigned.add_extension(address, critical=True).sign(key, hashes.SHA256())
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    (folder / "pem").write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context


def test_a_certificate_that_nobody_vouches_for_is_not_taken(serve: Callable[..., Scripted], tmp_path: Path) -> None:
    server = serve(told(WHOAMI), tls=self_signed(tmp_path))
    status, out, why = server.run("chats", "list")
    assert (status, out, why.count("\n"), server.asked) == (1, "", 1, [])
    assert "certificate verify failed" in why


@pytest.mark.parametrize("line", [*sorted(OF_THE_MACHINE), "receipts rotate-key", "db migrate"])
def test_what_is_of_the_machine_is_not_asked_of_another(line: str, tmp_path: Path) -> None:
    home = {"ANTIPHON_DATA_DIR": str(tmp_path / "data")}
    status, out, why = invoke("--url", "http://127.0.0.1:9", *line.split(), **home)
    assert (status, out, why.count("\n"), "--url" in why) == (2, "", 1, True)
    assert not (tmp_path / "data").exists()


def test_a_key_of_this_machine_is_not_changed_in_place_of_another_ones(tmp_path: Path) -> None:
    variables = {"ANTIPHON_URL": "http://127.0.0.1:9", "ANTIPHON_DATA_DIR": str(tmp_path / "data")}
    assert invoke("receipts", "rotate-key", **variables)[0] == 2
    assert invoke("version", **variables)[0] == 0


@pytest.mark.parametrize("option", ["--data-dir", "--database-url"])
def test_two_places_at_once_are_none(option: str, tmp_path: Path) -> None:
    status, out, why = invoke("--url", "http://127.0.0.1:9", "chats", "list", option, str(tmp_path / "x"))
    assert (status, out, why.count("\n")) == (2, "", 1)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("", None),
        (None, KEY),
        ("ftp://host", None),
        ("host:8000", None),
        ("http://", None),
        ("http://ann:hidden@host", None),
        ("http://host?x=hidden", None),
        ("http://host/#hidden", None),
        ("http://host:port", None),
        ("http://h\u00f6st", None),
        ("http://host", "hidden\nx: y"),
        ("http://host", "hidden \u00e9"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str | None, key: str | None) -> None:
    with pytest.raises(BadSetting) as caught:
        read_address({}, url, key)
    assert "hidden" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_options_win_over_the_variables() -> None:
    variables = {"ANTIPHON_URL": "https://one/base/", "ANTIPHON_KEY": "k1"}
    known = read_address(variables, None, None)
    assert known is not None
    assert (known.url, known.key, known.is_option) == ("https://one/base", "k1", False)
    assert "k1" not in repr(known)
    chosen = read_address(variables, "http://two", "k2")
    assert chosen is not None
    assert (chosen.url, chosen.key, chosen.is_option) == ("http://two", "k2", True)
    assert read_address({"ANTIPHON_KEY": "k1", "ANTIPHON_URL": " "}, None, None) is None
