"""What the agent may do inside a session's sandbox. Each is a command there: what confines one confines them all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from antiphon.core.ports.agent import Tool
from antiphon.core.ports.sandboxes import Command, CommandEnd, SandboxProvider
from antiphon.domain import limits
from antiphon.domain.errors import SandboxFailed, ToolRefused
from antiphon.domain.ids import Uid

_REFUSED, _NO_MATCH = 97, 1
_ANY_DEPTH = "**"
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PATH_RULE = {"type": "string", "minLength": 1, "maxLength": limits.SANDBOX_PATH_CHARACTERS}
_PATH = {**_PATH_RULE, "description": "A path in the work directory, relative to it or absolute."}

# `realpath` follows links as they are now; what is outside of the work directory is refused, not only out of reach.
_INSIDE = f"""
refuse() {{ printf '%s\\n' "$1" >&2; exit {_REFUSED}; }}
path=$(realpath -m -- "$1") || refuse 'there is no such path'
case $path in "$PWD"|"$PWD"/*) ;; *) refuse 'the path leads out of the work directory' ;; esac
"""
_IS_FILE = """
[ -e "$path" ] || refuse 'there is no such file'
[ -f "$path" ] || refuse 'that is no file'
"""
_BASH = 'if command -v bash >/dev/null; then exec bash -c "$1"; fi; exec sh -c "$1"'
_READ = _INSIDE + _IS_FILE + 'tail -n "+$2" -- "$path" | head -n "$3"'
_READ_ALL = _INSIDE + _IS_FILE + 'cat -- "$path"'
_WRITE = (
    _INSIDE
    + """
[ ! -d "$path" ] || refuse 'that is a directory'
mkdir -p -- "$(dirname -- "$path")" && cat > "$path"
"""
)
_GREP = (
    _INSIDE
    + 'cd "$path" 2>/dev/null && set -- "$1" "$2" "$3" . || set -- "$1" "$2" "$3" "$path"\n'
    + ('grep -rnIE --exclude-dir=.git --include="$3" -e "$2" -- "$4"')
)
_GLOB = _INSIDE + "[ -d \"$path\" ] || refuse 'there is no such directory'\n" + 'cd "$path" && find . -type f -print'


def tools_in(provider: SandboxProvider, tenant_id: Uid, session_key: Uid) -> Sequence[Tool]:
    """The tools of a session's sandbox."""
    shell = Shell(provider, tenant_id, session_key)
    return (Bash(shell), Read(shell), Write(shell), Edit(shell), Grep(shell), Glob(shell), AskUserQuestion())


class Shell:
    """Runs scripts in one sandbox."""

    def __init__(self, provider: SandboxProvider, tenant_id: Uid, session_key: Uid) -> None:
        self._provider = provider
        self._key = (tenant_id, session_key)

    async def run(
        self, script: str, *arguments: str, stdin: str = "", output_bytes: int = limits.SANDBOX_OUTPUT_BYTES
    ) -> CommandEnd:
        """How a script ends. Raises ToolRefused when it cannot be run, or itself refuses."""
        if any("\0" in argument for argument in arguments):
            raise ToolRefused("there is no NUL in a path or a command")
        command = Command(
            ("/bin/sh", "-c", script, "sh", *arguments),
            stdin.encode(errors="replace"),
            limits.SANDBOX_COMMAND_SECONDS,
            output_bytes,
        )
        try:
            end = await self._provider.run(*self._key, command)
        except SandboxFailed as error:
            raise ToolRefused(error.message) from None
        if end.exit_code == _REFUSED:
            raise ToolRefused(_text(end.stderr).strip())
        return end

    async def get(self, script: str, *arguments: str, stdin: str = "", output_bytes: int = 0, ok: int = 0) -> bytes:
        """What a script writes. Raises ToolRefused, also when it ends with neither 0 nor `ok`."""
        kept = output_bytes or limits.SANDBOX_OUTPUT_BYTES
        end = await self.run(script, *arguments, stdin=stdin, output_bytes=kept)
        if end.exit_code not in (0, ok):
            raise ToolRefused(end.reason or _text(end.stderr).strip() or "that failed")
        return end.stdout


class Bash:
    """Runs a command."""

    name = "bash"
    description = (
        "Runs a command with bash in the work directory of this session. There is no network, and the system can be "
        f"read only. A command that takes longer than {limits.SANDBOX_COMMAND_SECONDS} seconds is ended; what it "
        "started ends with it."
    )
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "command": {"type": "string", "minLength": 1, "maxLength": limits.SANDBOX_COMMAND_CHARACTERS},
            "description": {"type": "string", "description": "What it is for, in a few words."},
        },
        "required": ["command"],
        "additionalProperties": False,
    }
    is_answered_by_client = False

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port."""
        end = await self._shell.run(_BASH, arguments["command"])
        stdout, is_out_cut = _fit(_text(end.stdout))
        stderr, is_err_cut = _fit(_text(end.stderr))
        answer = {"exitCode": end.exit_code, "stdout": stdout, "stderr": stderr}
        if end.is_cut or is_out_cut or is_err_cut:
            answer["truncated"] = True
        return answer if end.reason is None else {**answer, "ended": end.reason}


class Read:
    """Reads a file."""

    name = "read"
    description = "Reads a text file, or some lines of it."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "path": _PATH,
            "offset": {"type": "integer", "minimum": 1, "description": "The first line, 1 when left out."},
            "limit": {"type": "integer", "minimum": 1, "maximum": limits.SANDBOX_READ_LINES},
        },
        "required": ["path"],
        "additionalProperties": False,
    }
    is_answered_by_client = False

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port."""
        first, lines = arguments.get("offset", 1), arguments.get("limit", limits.SANDBOX_READ_LINES)
        content = await self._shell.get(_READ, arguments["path"], str(first), str(lines))
        text, is_cut = _fit(_text(content))
        is_cut = is_cut or len(content) >= limits.SANDBOX_OUTPUT_BYTES
        return {"content": text, "truncated": True} if is_cut else {"content": text}


class Write:
    """Writes a file."""

    name = "write"
    description = "Writes a text file, and the directories above it; one that is there is replaced."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {"path": _PATH, "content": {"type": "string", "maxLength": limits.SANDBOX_WRITE_CHARACTERS}},
        "required": ["path", "content"],
        "additionalProperties": False,
    }
    is_answered_by_client = False

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port."""
        content = arguments["content"]
        await self._shell.get(_WRITE, arguments["path"], stdin=content)
        return {"bytesWritten": len(content.encode(errors="replace"))}


class Edit:
    """Replaces some text of a file."""

    name = "edit"
    description = "Replaces a piece of a text file by another. It must be there exactly once, unless all are replaced."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "path": _PATH,
            "oldString": {"type": "string", "minLength": 1, "maxLength": limits.SANDBOX_WRITE_CHARACTERS},
            "newString": {"type": "string", "maxLength": limits.SANDBOX_WRITE_CHARACTERS},
            "replaceAll": {"type": "boolean"},
        },
        "required": ["path", "oldString", "newString"],
        "additionalProperties": False,
    }
    is_answered_by_client = False

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port."""
        path, old, new = arguments["path"], arguments["oldString"], arguments["newString"]
        most = limits.SANDBOX_WRITE_CHARACTERS
        content = await self._shell.get(_READ_ALL, path, output_bytes=most + 1)
        if len(content) > most:
            raise ToolRefused(f"the file is longer than {most} bytes")
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise ToolRefused("the file is no text") from None
        count = text.count(old)
        if count == 0:
            raise ToolRefused("the file has no such text")
        if count > 1 and not arguments.get("replaceAll"):
            raise ToolRefused(f"the file has that text {count} times")
        edited = text.replace(old, new)
        if len(edited) > most:
            raise ToolRefused(f"the file would be longer than {most} characters")
        await self._shell.get(_WRITE, path, stdin=edited)
        return {"replacements": count}


class Grep:
    """Searches files."""

    name = "grep"
    description = "Finds the lines of text files that match an extended regular expression."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "minLength": 1, "maxLength": limits.SANDBOX_PATTERN_CHARACTERS},
            "path": _PATH,
            "glob": {**_PATH_RULE, "description": "Only files whose names match, such as *.py."},
        },
        "required": ["pattern"],
        "additionalProperties": False,
    }
    is_answered_by_client = False

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port. Gives SANDBOX_MATCHES lines at most, as `file:line:text`."""
        found = await self._shell.get(
            _GREP, arguments.get("path", "."), arguments["pattern"], arguments.get("glob", "*"), ok=_NO_MATCH
        )
        text, is_cut = _fit(_text(found))
        lines = [line.removeprefix("./") for line in text.splitlines()]
        is_cut = is_cut or len(lines) > limits.SANDBOX_MATCHES or len(found) >= limits.SANDBOX_OUTPUT_BYTES
        answer = {"matches": lines[: limits.SANDBOX_MATCHES]}
        return {**answer, "truncated": True} if is_cut else answer


class Glob:
    """Lists files."""

    name = "glob"
    description = "Lists the files whose paths match a pattern, such as src/**/*.py."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "minLength": 1, "maxLength": limits.SANDBOX_PATTERN_CHARACTERS},
            "path": _PATH,
        },
        "required": ["pattern"],
        "additionalProperties": False,
    }
    is_answered_by_client = False

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """See the port. Gives SANDBOX_MATCHES paths at most, in order."""
        found = await self._shell.get(_GLOB, arguments.get("path", "."), output_bytes=limits.SANDBOX_LIST_BYTES)
        pattern = [part for part in arguments["pattern"].split("/") if part]
        paths = [path.removeprefix("./") for path in _text(found).splitlines()]
        matching = sorted(path for path in paths if matches(pattern, path.split("/")))
        answer = {"files": matching[: limits.SANDBOX_MATCHES]}
        return {**answer, "truncated": True} if len(matching) > limits.SANDBOX_MATCHES else answer


class AskUserQuestion:
    """Asks whoever talks with the agent; the client answers, with its next request."""

    name = "ask_user_question"
    description = "Asks the user one or more questions, each with some answers to choose from, and waits."
    schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "questions": {
                "type": "array",
                "minItems": 1,
                "maxItems": limits.SANDBOX_QUESTIONS,
                "items": {
                    "type": "object",
                    "properties": {
                        "question": {"type": "string"},
                        "header": {"type": "string"},
                        "options": {
                            "type": "array",
                            "minItems": 2,
                            "maxItems": limits.SANDBOX_QUESTIONS,
                            "items": {
                                "type": "object",
                                "properties": {"label": {"type": "string"}, "description": {"type": "string"}},
                                "required": ["label"],
                            },
                        },
                        "multiSelect": {"type": "boolean"},
                    },
                    "required": ["question", "options"],
                },
            }
        },
        "required": ["questions"],
        "additionalProperties": False,
    }
    is_answered_by_client = True

    async def run(self, arguments: Mapping[str, Any]) -> Any:
        """Never called: nobody here can answer."""
        raise ToolRefused("only the user can answer that")


def matches(pattern: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a path fits a pattern, part by part; `**` stands for any number of directories."""
    at = _skip_any_depth(pattern, {0})
    for name in names:
        stayed = {place for place in at if place < len(pattern) and pattern[place] == _ANY_DEPTH}
        moved = {place + 1 for place in at - stayed if place < len(pattern) and fnmatchcase(name, pattern[place])}
        at = _skip_any_depth(pattern, stayed | moved)
    return len(pattern) in at


def _skip_any_depth(pattern: Sequence[str], places: set[int]) -> set[int]:
    found = set(places)
    for place in range(len(pattern)):
        if place in found and pattern[place] == _ANY_DEPTH:
            found.add(place + 1)
    return found


def _text(content: bytes) -> str:
    """Output as text, without what no reader can see."""
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", content.decode(errors="replace"))


def _fit(text: str) -> tuple[str, bool]:
    """A text short enough for a tool's answer, of which there may be two, and whether it was cut."""
    room = limits.TOOL_OUTPUT_BYTES // 2 - limits.TOOL_ERROR_CHARACTERS * 2
    is_cut = False
    while (size := len(msgspec.json.encode(text))) > room:
        text, is_cut = text[: len(text) * room // size - 1], True
    return text, is_cut
