"""The Python blocks of the guide, and what a scenario runs one with."""

from __future__ import annotations

import json
import pathlib
import re
import textwrap
import time
from typing import Any, Callable

import pytest

import duroxide
from harness import Engine

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "shared" / "spec" / "guide.md"

Namespace = dict[str, Any]


def blocks() -> dict[str, str]:
    """heading#n -> source of each Python block."""
    if not GUIDE.exists():
        return {}
    found: dict[str, str] = {}
    heading = ""
    pattern = r"^```(\w+)\n(.*?)^```|^#{2,3} ([^\n]+)$"
    for language, source, title in re.findall(pattern, GUIDE.read_text(encoding="utf-8"), re.M | re.S):
        if title:
            heading = title
        elif language == "python":
            number = 1 + sum(1 for known in found if known.startswith(heading + "#"))
            found[f"{heading}#{number}"] = source
    return found


BLOCKS = blocks()
Scenario = Callable[["Guide"], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(block: str) -> Callable[[Scenario], Scenario]:
    def add(fn: Scenario) -> Scenario:
        SCENARIOS[block] = fn
        return fn

    return add


class StartingClient(duroxide.Client):
    """Starts the runtime before the first instance, for a block that registers and then starts."""

    def __init__(self, provider: duroxide.SqliteProvider, runtime: duroxide.Runtime) -> None:
        super().__init__(provider)
        self.runtime: duroxide.Runtime | None = runtime

    def start_orchestration(self, *args: Any, **kwargs: Any) -> None:
        if self.runtime is not None:
            self.runtime.start()
            self.runtime = None
        super().start_orchestration(*args, **kwargs)


class Guide:
    """The namespace that a block runs in, and what its scenario does around it."""

    def __init__(
        self,
        engine: Engine,
        source: str,
        capsys: pytest.CaptureFixture[str],
        fixture: Callable[[str], Any],
    ) -> None:
        self.engine = engine
        #: Gives a fixture of the test by its name.
        self.fixture = fixture
        self.source = source
        self.capsys = capsys
        self.calls: list[tuple[str, Any]] = []
        self.runtime = engine.runtime()
        self.client = engine.client
        self.names: Namespace = {
            "provider": engine.provider,
            "client": engine.client,
            "runtime": self.runtime,
            "json": json,
            "time": time,
        }
        for name in duroxide.__all__:
            self.names[name] = getattr(duroxide, name)

    def activity(self, name: str, result: Any = None) -> None:
        """An activity that the block calls and does not define; its result or a function."""

        def stub(ctx: Any, input: Any) -> Any:
            self.calls.append((name, input))
            return result(input) if callable(result) else result

        self.runtime.register_activity(name, stub)

    def execute(self) -> None:
        exec(compile(self.source, "guide.md", "exec"), self.names)

    def execute_in_orchestration(self, name: str) -> None:
        """For a block that is a piece of an orchestration: its body, returning `result`."""
        body = textwrap.indent(self.source, "    ")
        exec(
            compile(f"def piece(ctx, input):\n{body}\n    return result\n", "guide.md", "exec"),
            self.names,
        )
        self.runtime.register_orchestration(name, self.names["piece"])

    def run(self, name: str, input: Any = None, instance: str | None = None) -> Any:
        return self.engine.run(name, input, instance)

    def printed(self) -> list[str]:
        return self.capsys.readouterr().out.splitlines()
