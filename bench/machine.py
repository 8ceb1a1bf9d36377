"""The machine: which core does what, and how much CPU a process has used."""

from __future__ import annotations

import os
import time
from pathlib import Path

# clock_getcpuclockid(3) of the C library: the clock that holds the user and system time of all threads of a process.
_CLOCK_OF_PROCESS = 2


def cores() -> tuple[int, int]:
    """The core of whatever is measured and the core of the load; the same one on a machine with a single core."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes; `/proc/<pid>/stat` has the same in steps of 10 ms."""
    return sum(time.clock_gettime(~pid << 3 | _CLOCK_OF_PROCESS) for pid in pids)


def describe() -> str:
    """One line about the machine and the moment."""
    name, (load, *_) = os.uname(), os.getloadavg()
    return f"{os.cpu_count()} cores, {name.machine}, {name.sysname} {name.release}, load before the run {load:.2f}"
