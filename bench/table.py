"""The table: medians over the rounds, in Markdown."""

from __future__ import annotations

from statistics import median

import msgspec

from bench.load import Figures

RATIO_MAX = 1.5
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
