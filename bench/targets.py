"""What is promised, and the table that says whether it held.

A target bounds one figure of ours, either absolutely or against another figure of the same
run: against what the disk allows, or against another system. So a slow disk does not fail it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

# {system: {workload: figures}} of one run; a missing entry was not measured.
Results = dict[str, dict[str, dict[str, Any]]]

MICROSECONDS, MILLISECONDS, SECONDS = "us", "ms", "s"
PER_SECOND = "1/s"
PERCENT = "%"
SCALE = {MICROSECONDS: 1e6, MILLISECONDS: 1e3, SECONDS: 1.0, PER_SECOND: 1.0, PERCENT: 100.0}


class Row(NamedTuple):
    """One line of the table: which figure of which workload, and in which unit it is printed."""

    title: str
    workload: str
    figure: str
    unit: str


class Target(NamedTuple):
    """A bound on a quotient of two figures; a limit is an upper bound unless `at_least` is set."""

    text: str
    quotient: Callable[[Results], float | None]
    limit: float
    at_least: bool = False


ROWS = [
    Row("bare durable commit, p50", "commit", "p50", MICROSECONDS),
    Row("the same, log overwritten", "commit", "p50_overwritten", MICROSECONDS),
    Row("bare updates, 32 connections", "commit", "per_second", PER_SECOND),
    Row("hello, p50", "hello", "p50", MILLISECONDS),
    Row("hello, p95", "hello", "p95", MILLISECONDS),
    Row("sequential steps, each", "steps", "per_step", MILLISECONDS),
    Row("the same, 1,000 steps", "steps_1000", "per_step", MILLISECONDS),
    Row("the same, 10,000 steps", "steps_10000", "per_step", MILLISECONDS),
    Row("hellos with 300 open", "open_hellos", "per_second", PER_SECOND),
    Row("fan-out of 1,000", "fan_out", "seconds", SECONDS),
    Row("steps with 300 open", "open_steps", "per_second", PER_SECOND),
    Row("event until the result", "event_hop", "p50", MILLISECONDS),
    Row("steps, 1 worker process", "processes_1", "per_second", PER_SECOND),
    Row("steps, 2 worker processes", "processes_2", "per_second", PER_SECOND),
    Row("steps, 4 worker processes", "processes_4", "per_second", PER_SECOND),
    Row("in memory: hello, p50", "memory_hello", "p50", MILLISECONDS),
    Row("in memory: step", "memory_steps", "per_step", MILLISECONDS),
    Row("idle, of one core", "idle", "core_share", PERCENT),
    Row("first commit after kill -9, p95", "recovery", "p95", MILLISECONDS),
    Row("the same, Python's start included", "recovery", "p95_from_kill", MILLISECONDS),
]


def figure(results: Results, system: str, workload: str, name: str) -> float | None:
    """One figure, or None when it was not measured."""
    value = results.get(system, {}).get(workload, {}).get(name)
    return None if value is None else float(value)


def over(a: tuple[str, str, str], b: tuple[str, str, str]) -> Callable[[Results], float | None]:
    """The quotient of two figures, each named by system, workload and figure."""

    def quotient(results: Results) -> float | None:
        dividend, divisor = figure(results, *a), figure(results, *b)
        return None if dividend is None or not divisor else dividend / divisor

    return quotient


def alone(system: str, workload: str, name: str) -> Callable[[Results], float | None]:
    """A figure by itself."""
    return lambda results: figure(results, system, workload, name)


COMMIT = ("commit", "commit", "p50")


def times_faster(workload: str, name: str, system: str) -> Callable[[Results], float | None]:
    """How many times the time of ours another system takes."""
    return over((system, workload, name), ("ours", workload, name))


def times_more(workload: str, name: str, system: str) -> Callable[[Results], float | None]:
    """How many times the throughput of another system ours is."""
    return over(("ours", workload, name), (system, workload, name))


SQLITE_TARGETS = [
    Target("a hello at least 50 times as fast as the peer's (aim 100)",
           times_faster("hello", "p50", "peer"), 50, at_least=True),
    Target("a step at least 100 times as fast as the peer's (aim 200)",
           times_faster("steps", "per_step", "peer"), 100, at_least=True),
    Target("at least 6 times the peer's hellos with 300 open (aim 10)",
           times_more("open_hellos", "per_second", "peer"), 6, at_least=True),
    Target("a fan-out of 1,000 at least 20 times as fast as the peer's (aim 40)",
           times_faster("fan_out", "seconds", "peer"), 20, at_least=True),
    Target("a hello at least 4 times as fast as dbos's",
           times_faster("hello", "p50", "dbos"), 4, at_least=True),
    Target("at least 10 times dbos's hellos with 300 open",
           times_more("open_hellos", "per_second", "dbos"), 10, at_least=True),
    Target("a fan-out of 1,000 at least 10 times as fast as dbos's",
           times_faster("fan_out", "seconds", "dbos"), 10, at_least=True),
    Target("a step at most 1.5 times a bare commit (aim: 8 times as fast as dbos's)",
           over(("ours", "steps", "per_step"), COMMIT), 1.5),
    Target("a step of 10,000 at most 1.3 times one of 1,000",
           over(("ours", "steps_10000", "per_step"), ("ours", "steps_1000", "per_step")), 1.3),
    Target("in memory a hello takes at most 0.5 ms",
           alone("ours", "memory_hello", "p50"), 500e-6),
    Target("in memory a step takes at most 0.15 ms",
           alone("ours", "memory_steps", "per_step"), 150e-6),
    Target("at least 8,000 steps a second with 300 open",
           alone("ours", "open_steps", "per_second"), 8_000, at_least=True),
    Target("an idle runtime takes at most 0.5 % of a core",
           alone("ours", "idle", "core_share"), 0.005),
    Target("the successor of a killed worker commits within 2 s (p95)",
           alone("ours", "recovery", "p95"), 2),
]  # fmt: skip
POSTGRES_TARGETS = [
    Target("a hello at least 100 times as fast as the peer's (aim 150)",
           times_faster("hello", "p50", "peer"), 100, at_least=True),
    Target("a step at least 200 times as fast as the peer's (aim 250)",
           times_faster("steps", "per_step", "peer"), 200, at_least=True),
    Target("at least 10 times the peer's hellos with 300 open (aim 20)",
           times_more("open_hellos", "per_second", "peer"), 10, at_least=True),
    Target("a fan-out of 1,000 at least 20 times as fast as the peer's (aim 40)",
           times_faster("fan_out", "seconds", "peer"), 20, at_least=True),
    Target("a hello at least 3 times as fast as dbos's",
           times_faster("hello", "p50", "dbos"), 3, at_least=True),
    Target("a step at least 4 times as fast as dbos's (aim 6)",
           times_faster("steps", "per_step", "dbos"), 4, at_least=True),
    Target("at least 8 times dbos's hellos with 300 open",
           times_more("open_hellos", "per_second", "dbos"), 8, at_least=True),
    Target("a fan-out of 1,000 at least 10 times as fast as dbos's",
           times_faster("fan_out", "seconds", "dbos"), 10, at_least=True),
    Target("an event arrives at least 8 times as fast as dbos's",
           times_faster("event_hop", "p50", "dbos"), 8, at_least=True),
    Target("a step of 10,000 at most 1.3 times one of 1,000",
           over(("ours", "steps_10000", "per_step"), ("ours", "steps_1000", "per_step")), 1.3),
    Target("at least 6,000 steps a second with 300 open",
           alone("ours", "open_steps", "per_second"), 6_000, at_least=True),
    Target("4 processes not below 2",
           over(("ours", "processes_4", "per_second"), ("ours", "processes_2", "per_second")), 1, at_least=True),
    Target("an idle runtime takes at most 0.5 % of a core",
           alone("ours", "idle", "core_share"), 0.005),
]  # fmt: skip
TARGETS = {"sqlite": SQLITE_TARGETS, "postgres": POSTGRES_TARGETS}


def shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    scaled = value * SCALE[unit]
    digits = 0 if scaled >= 1_000 else 1 if scaled >= 100 else 2 if scaled >= 1 else 3
    return f"{scaled:,.{digits}f} {unit}"


def table(results: Results) -> Iterator[str]:
    """The figures as the lines of a Markdown table that also reads well as plain text."""
    width = max(len(row.title) for row in ROWS)
    heads = [f"{name:>12}" for name in ("ours", "peer", "dbos")]
    heads += [f"{name:>9}" for name in ("peer/ours", "dbos/ours")]
    yield f"| {'':{width}} | {' | '.join(heads)} |"
    yield f"|{'-' * (width + 2)}|{'-' * 13}:|{'-' * 13}:|{'-' * 13}:|{'-' * 10}:|{'-' * 10}:|"
    for row in ROWS:
        values = {s: figure(results, s, row.workload, row.figure) for s in ("ours", "peer", "dbos")}
        if row.workload == "commit":
            values["ours"] = figure(results, "commit", "commit", row.figure)
        if not any(values.values()):
            continue
        cells = [f"{shown(values[system], row.unit):>12}" for system in ("ours", "peer", "dbos")]
        for other in ("peer", "dbos"):
            mine, theirs = values["ours"], values[other]
            ratio = None if not mine or not theirs else theirs / mine
            if ratio is not None and row.unit == PER_SECOND:
                ratio = 1 / ratio
            cells.append(f"{'-' if ratio is None else f'{ratio:.1f} x':>9}")
        yield f"| {row.title:{width}} | {' | '.join(cells)} |"


def verdicts(results: Results, targets: list[Target]) -> Iterator[tuple[bool, str]]:
    """For each target that could be measured whether it held, and a line that says so."""
    for target in targets:
        value = target.quotient(results)
        if value is None:
            continue
        held = value >= target.limit if target.at_least else value <= target.limit
        verdict = "held  " if held else "MISSED"
        yield held, f"{verdict}  {target.text}: {value:.3g} (limit {target.limit:.3g})"
