"""Nobody gets out: not to files, not to the network, not to more of the machine than is given, not past the call."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest

from antiphon.domain import limits
from antiphon.domain.errors import SandboxFailed
from antiphon.domain.ids import new_uid7
from tests.unit.sandbox.conftest import Box


def processes_with(word: str) -> list[str]:
    """The processes of this machine in whose command lines a word stands."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line.replace(b"\0", b" ") and int(folder.name) != os.getpid():
                found.append(folder.name)
    return found


async def test_it_works_in_its_directory(box: Box) -> None:
    assert await box.says("pwd; echo hello > note; cat note") == "/sandbox\nhello\n"
    assert (box.work / "note").read_text() == "hello\n"
    assert await box.says("cat note; ls /tmp; echo x > /tmp/x") == "hello\n"
    assert await box.says("ls /tmp") == ""


@pytest.mark.parametrize("place", ["/x", "/usr/x", "/etc/x", "/dev/x", "/proc/x", "/bin/x", "/../x", "/sandbox/../x"])
async def test_nothing_is_written_outside(box: Box, place: str) -> None:
    end = await box.run(f"echo x > {place}")
    assert end.exit_code != 0
    assert not os.path.exists(place)  # noqa: ASYNC240  a look at a directory of this machine


async def test_nothing_of_the_data_directory_can_be_seen(box: Box) -> None:
    for name in ("antiphon.db", "receipts/key"):
        path = box.data_dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret-of-the-house")
    neighbour = box.data_dir / "sandboxes" / box.tenant_id.hex() / new_uid7().hex()
    neighbour.mkdir()
    (neighbour / "note").write_text("secret-of-the-house")
    tries = [f"cat {box.data_dir}/antiphon.db", f"ls {box.data_dir}", f"cat {neighbour}/note", "cat ../*/note"]
    tries += ["cat /proc/*/environ | tr '\\0' '\\n' | grep secret", "ls /root /home"]
    tries += ["grep -rs secret-of-the /proc/self/root/etc /proc/self/root/dev /proc/self/root/tmp"]
    for script in tries:
        end = await box.run(script)
        assert end.exit_code != 0, script
        assert b"secret-of" not in end.stdout, script


async def test_the_environment_of_the_server_stays_outside(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_MODEL_KEY", "sk-secret")
    names = {line.partition("=")[0] for line in (await box.says("env")).splitlines()}
    assert names <= {"PATH", "HOME", "TMPDIR", "LANG", "TERM", "GIT_TERMINAL_PROMPT", "PWD", "OLDPWD", "SHLVL", "_"}


async def test_links_lead_nowhere(box: Box) -> None:
    secret = box.data_dir / "antiphon.db"
    secret.write_text("secret-of-the-house")
    await box.says(f"ln -s {secret} a; ln -s ../../.. b; ln -s /proc/1/root c; ln -s /proc/self/fd d")
    for script in ("cat a", f"cat b/{secret.name}", f"cat c{secret}", "ls b/root", "for f in d/*; do cat $f/* ; done"):
        end = await box.run(script)
        assert b"secret-of" not in end.stdout, script
    assert secret.read_text() == "secret-of-the-house"


async def test_the_network_is_out_of_reach(box: Box) -> None:
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.5)

        def listen() -> None:
            try:
                heard.append(server.accept())
            except TimeoutError:
                return

        listening = threading.Thread(target=listen)
        listening.start()
        end = await box.run(f"exec 3<>/dev/tcp/127.0.0.1/{port}", seconds=5)
        bash = await box.run(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'", seconds=5)
        await asyncio.to_thread(listening.join)
    assert end.exit_code != 0
    assert bash.exit_code != 0
    assert heard == []
    assert [line.split(":")[0].strip() for line in (await box.says("cat /proc/net/dev")).splitlines()[2:]] == ["lo"]


async def test_it_is_nobody(box: Box) -> None:
    status = dict(line.split(":", 1) for line in (await box.says("cat /proc/self/status")).splitlines() if ":" in line)
    assert {status[name].strip().strip("0") for name in ("CapPrm", "CapEff", "CapAmb")} == {""}
    assert status["NoNewPrivs"].strip() == "1"
    for script in ("mount -t tmpfs x /tmp", "mknod x b 8 0", "chroot /", "chown 0:0 /usr"):
        assert (await box.run(script)).exit_code != 0, script
    await box.run("kill -9 1; kill -9 -1")
    assert await box.says("echo alive") == "alive\n"


async def test_a_fork_bomb_is_bounded(counted: Box) -> None:
    bomb = "b() { b | b & }; b; i=0; while [ $i -lt 20 ]; do i=$((i+1)); ls -d /proc/[0-9]* | wc -l; sleep 0.05; done"
    end = await counted.run(bomb, seconds=10)
    counts = [int(line) for line in end.stdout.split() if line.isdigit()]
    assert max(counts, default=0) <= limits.SANDBOX_PROCESSES + 2
    assert processes_with("b() { b | b & }") == []
    assert await counted.says("echo alive") == "alive\n"


async def test_memory_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SANDBOX_MEMORY_BYTES", 64 * 1024 * 1024)
    hungry = "x=0123456789abcdef; while :; do x=$x$x; done"
    end = await box.run(f"({hungry}) & ({hungry}) & wait", seconds=20)
    assert end.exit_code != 0 or end.reason is not None or end.stderr
    assert await box.says("echo alive") == "alive\n"


async def test_all_together_may_not_use_more_memory_than_one(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SANDBOX_MEMORY_BYTES", 24 * 1024 * 1024)
    hold = "head -c 12000000 /dev/zero | tail -c 12000000 | sleep 20"
    end = await box.run(f"for i in 1 2 3 4; do ({hold}) & done; wait")
    assert end.exit_code is None
    assert end.reason == f"the command used more than {limits.SANDBOX_MEMORY_BYTES} bytes of memory"


async def test_the_disk_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SANDBOX_BYTES", 1_000_000)
    monkeypatch.setattr(limits, "SANDBOX_FILE_BYTES", 600_000)
    end = await box.run("head -c 700000 /dev/zero > large")
    assert end.exit_code != 0
    assert (box.work / "large").stat().st_size <= 600_000
    end = await box.run("i=0; while :; do head -c 300000 /dev/zero > f$i; i=$((i+1)); sleep 0.02; done")
    assert end.reason == "the sandbox holds more than 1000000 bytes"
    end = await box.run("echo x > new")
    assert end.reason == "the sandbox holds more than 1000000 bytes: nothing can be written before something is removed"
    assert await box.says("rm f* large") == ""
    assert await box.says("echo x > new; cat new") == "x\n"


async def test_many_files_and_deep_directories_are_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SANDBOX_FILES", 100)
    end = await box.run("i=0; while :; do : > f$i; i=$((i+1)); sleep 0.001; done")
    assert end.reason == "the sandbox holds more than 100 files"
    await box.says("rm f*")
    monkeypatch.setattr(limits, "SANDBOX_DEPTH", 8)
    end = await box.run("while :; do mkdir d; cd d; sleep 0.02; done")
    assert end.reason == "the sandbox holds directories nested deeper than 8"


async def test_nothing_hides_from_the_measure(box: Box) -> None:
    if os.geteuid() == 0:
        assert (await box.run("mkdir h; head -c 100 /dev/zero > h/x; chmod 000 h; sleep 1")).exit_code == 0
        return  # root looks into everything
    end = await box.run("mkdir h; head -c 100 /dev/zero > h/x; chmod 000 h; sleep 5")
    assert end.reason == "the sandbox holds a directory that cannot be read"


async def test_nothing_outlives_its_call(box: Box) -> None:
    word = f"sleep 98{os.getpid()}"
    assert await box.says(f"({word} > /dev/null 2>&1 &); setsid {word} > /dev/null 2>&1 & echo done") == "done\n"
    assert processes_with(word) == []


async def test_what_takes_too_long_is_ended_with_all_it_started(box: Box) -> None:
    word = f"sleep 97{os.getpid()}"
    end = await box.run(f"trap '' TERM INT HUP; {word} & echo begun; {word}", seconds=0.7)
    assert (end.exit_code, end.stdout) == (None, b"begun\n")
    assert end.reason == "the command took longer than 0.7 seconds"
    assert processes_with(word) == []


async def test_who_is_cancelled_leaves_nothing(box: Box) -> None:
    word = f"sleep 96{os.getpid()}"
    running = asyncio.create_task(box.run(f": > begun; {word}"))
    await box.begun()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert processes_with(word) == []


async def test_stopping_ends_what_runs(box: Box) -> None:
    word = f"sleep 95{os.getpid()}"
    running = asyncio.create_task(box.run(f": > begun; {word}"))
    await box.begun()
    await box.provider.stop(box.tenant_id, box.key)
    assert processes_with(word) == []
    assert (await running).reason == "the sandbox was stopped"


async def test_of_much_output_the_first_is_kept(box: Box) -> None:
    end = await box.run("yes | head -c 3000000; echo end >&2")
    assert (end.exit_code, len(end.stdout), end.is_cut) == (0, limits.SANDBOX_OUTPUT_BYTES, True)
    assert end.stderr == b"end\n"


async def test_without_its_directory_it_is_gone(box: Box) -> None:
    assert await box.provider.remove(box.tenant_id, box.key) == 0
    with pytest.raises(SandboxFailed, match="sandbox not found") as gone:
        await box.run("true")
    assert gone.value.is_gone is True


async def test_who_locks_itself_out_is_let_in_again(box: Box) -> None:
    await box.says("echo x > a; chmod 000 .")
    assert await box.says("cat a") == "x\n"
