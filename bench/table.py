"""The table: medians over the rounds, in Markdown."""

from __future__ import annotations

from math import isnan
from statistics import median

import msgspec

from bench.load import Figures

RATIO_MAX = 1.5
APPEND_CPU_MAX = 1.3
APPEND_RATE_MIN = 1.2
_BUSY_MAX = 0.9


class Row(msgspec.Struct):
    """One case: what was measured in each round, for the server and for its two floors."""

    title: str
    connections: int
    server: list[Figures]
    http_floor: list[Figures]
    store_floor: list[Figures]

    @property
    def ratio(self) -> float:
        """Server CPU by the sum of the floors'."""
        return _cpu(self.server) / (_cpu(self.http_floor) + _cpu(self.store_floor))


class StoreRow(msgspec.Struct):
    """An operation of the PostgreSQL store: what was measured in each round, for the store and for its two floors."""

    operation: str
    callers: int
    store: list[Figures]
    floor: list[Figures]
    pgbench: list[Figures]

    @property
    def cpu(self) -> float:
        """The store's client CPU by the driver's."""
        return _paired(self.store, self.floor, "cpu_us")

    @property
    def rate(self) -> float:
        """The store's rate by the driver's."""
        return _paired(self.store, self.floor, "per_second")


def _cpu(rounds: list[Figures]) -> float:
    return median(figures.cpu_us for figures in rounds)


def _line(title: str, connections: int, rounds: list[Figures], ratio: str) -> str:
    per_second = median(figures.per_second for figures in rounds)
    p50 = median(figures.p50_ms for figures in rounds)
    p99 = median(figures.p99_ms for figures in rounds)
    return f"| {title} | {connections} | {_cpu(rounds):.0f} | {ratio} | {per_second:.0f} | {p50:.2f} | {p99:.2f} |"


def table(rows: list[Row]) -> str:
    """All cases, each with its floors below it."""
    lines = [
        "| case | connections | CPU µs | ratio | per second | p50 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines += [
            _line(f"**{row.title}**", row.connections, row.server, f"**{row.ratio:.2f}**"),
            _line("HTTP floor", row.connections, row.http_floor, ""),
            _line("store floor", row.connections, row.store_floor, ""),
        ]
    return "\n".join(lines)


def _paired(above: list[Figures], below: list[Figures], figure: str) -> float:
    """The median of the ratios of each round: its two halves were measured within seconds of each other."""
    ratios: list[float] = [getattr(a, figure) / getattr(b, figure) for a, b in zip(above, below, strict=True)]
    return median(ratios)


def store_table(rows: list[StoreRow]) -> str:
    """The store without a server around it, each case with its floors below it."""
    lines = [
        "| case | callers | client CPU µs | ratio | per second | ratio | p50 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(_store_line(f"**{row.operation}**", row.callers, row.store, [f"{row.cpu:.2f}", f"{row.rate:.2f}"]))
        lines.append(_store_line("asyncpg floor", row.callers, row.floor, ["", ""]))
        if row.pgbench:
            lines.append(_store_line("pgbench", row.callers, row.pgbench, ["", ""]))
    return "\n".join(lines)


def _store_line(title: str, callers: int, rounds: list[Figures], ratios: list[str]) -> str:
    per_second = median(figures.per_second for figures in rounds)
    p50 = median(figures.p50_ms for figures in rounds)
    p99 = median(figures.p99_ms for figures in rounds)
    cells = [title, f"{callers}", f"{_cpu(rounds):.0f}", ratios[0], f"{per_second:.0f}", ratios[1], f"{p50:.2f}"]
    return f"| {' | '.join(cells)} | {'–' if isnan(p99) else f'{p99:.2f}'} |"


def store_verdict(rows: list[StoreRow]) -> list[str]:
    """One line for each target of the append: the client's CPU, and the rate where callers meet."""
    said = []
    for row in rows:
        if row.operation == "append":
            is_met = "met" if row.cpu <= APPEND_CPU_MAX else "MISSED"
            said.append(
                f"append, {row.callers} callers: CPU {row.cpu:.2f}, target at most {APPEND_CPU_MAX:.2f} {is_met}"
            )
            if row.callers > 1:
                is_met = "met" if row.rate >= APPEND_RATE_MIN else "MISSED"
                target = f"target at least {APPEND_RATE_MIN:.2f} {is_met}"
                beside = _paired(row.store, row.pgbench, "per_second")
                said.append(f"append, {row.callers} callers: rate {row.rate:.2f}, {target}; {beside:.2f} of pgbench's")
    return said


def verdict(rows: list[Row], connections: int) -> list[str]:
    """One line for each case that has a target."""
    return [
        f"{row.title}, {connections} connections: ratio {row.ratio:.2f}, target {RATIO_MAX:.2f} "
        f"{'met' if row.ratio <= RATIO_MAX else 'MISSED'}"
        for row in rows
        if row.connections == connections
    ]


def warnings(rows: list[Row]) -> list[str]:
    """What makes the rates (never the CPU) doubtful: a load that was as busy as what it loads."""
    busiest = max((f.load_busy for row in rows for f in [*row.server, *row.http_floor]), default=0.0)
    said = [f"the load kept its core {busiest:.0%} busy at most"]
    if busiest > _BUSY_MAX:
        said.append("WARNING: the load was at its own limit; rates and latencies are its, not the server's")
    return said
