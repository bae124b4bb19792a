"""What the tests share: a store with its runtimes, bounded waits, what holds after every test."""

from __future__ import annotations

import faulthandler
import itertools
import logging
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable

from duroxide import Client, Runtime, RuntimeOptions
from stores import Provider, Schema, open_store

#: How long a test waits for something that must happen, in ms. It only bounds a failure.
WAIT_MS = 20_000

#: A lease that no test outlives: what goes on all the same was not waiting for one.
LONG_LEASE: dict[str, Any] = {"worker_lock_timeout_ms": 600_000, "orchestrator_lock_timeout_ms": 600_000}

#: How an execution is carried on: by the generator in memory, or replayed at every turn.
MODES: dict[str, dict[str, Any]] = {"live": {}, "replayed": {"live_executions": 0}}

_ids = itertools.count(1)
_TESTS = str(pathlib.Path(__file__).resolve().parent)


def eventually(probe: Callable[[], Any], what: str = "", seconds: float = WAIT_MS / 1000) -> Any:
    """Wait until `probe` gives something true, and give that back.

    Only for what nobody signals; whoever can be told by an Event or a custom status uses that.
    """
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s: {what or probe}")
        pause.wait(0.005)


def must(event: threading.Event, what: str = "event") -> None:
    """Wait for an Event that must come."""
    assert event.wait(WAIT_MS / 1000), f"{what} did not happen"


class Recorder(logging.Handler):
    """Keeps what the engine logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.arrived = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.arrived:
            self.records.append(record)
            self.arrived.notify_all()

    @staticmethod
    def text(record: logging.LogRecord) -> str:
        """The message with the fields that say what it is about."""
        fields = ("instance_id", "orchestration_name", "activity_name", "at")
        said = [f"{f}={getattr(record, f)}" for f in fields if getattr(record, f, "")]
        return " ".join([record.getMessage(), *said])

    def messages(self, target: str = "duroxide", level: int = logging.NOTSET) -> list[str]:
        with self.arrived:
            return [self.text(r) for r in self.records if r.name.startswith(target) and r.levelno >= level]

    def wait_for(self, text: str, target: str = "duroxide", seconds: float = WAIT_MS / 1000) -> str:
        """The first message that holds `text`."""

        def found() -> str | None:
            return next((m for m in self.messages(target) if text in m), None)

        with self.arrived:
            assert self.arrived.wait_for(lambda: found() is not None, seconds), (
                f"never logged: {text!r}; logged: {self.messages(target)[-20:]}"
            )
        message = found()
        assert message is not None
        return message


class Engine:
    """One store, a client, the runtimes that a test makes; shut down and checked at the end.

    Args:
        address: the file or schema of the store; None = in memory.
        options: of every runtime.
    """

    def __init__(self, address: pathlib.Path | Schema | None, **options: Any) -> None:
        self.address = address
        self.options = options
        self.runtimes: list[Runtime] = []
        self.logs = Recorder()
        #: Errors in the engine's log that a test provokes on purpose: any of these texts.
        self.expected_errors: list[str] = []
        self.before = threads()
        self.log = logging.getLogger("duroxide")
        self.level = self.log.level
        self.log.setLevel(logging.DEBUG)
        self.log.addHandler(self.logs)
        self.provider = self.open()
        self.client = Client(self.provider)

    @property
    def path(self) -> pathlib.Path:
        """The file of a store that is kept in one."""
        assert isinstance(self.address, pathlib.Path), "this test needs a file"
        return self.address

    def open(self) -> Provider:
        return open_store(self.address)

    def runtime(self, provider: Provider | None = None, **options: Any) -> Runtime:
        """A runtime that is not started yet; the test's mode is part of its options."""
        merged: dict[str, Any] = {"verify_replay": 1.0, **self.options, **options}
        runtime = Runtime(provider or self.provider, RuntimeOptions(**merged))
        self.runtimes.append(runtime)
        return runtime

    def start(self, name: str, input: Any = None, instance: str | None = None) -> str:
        instance = instance or f"{name}-{next(_ids)}"
        self.client.start_orchestration(instance, name, input)
        return instance

    def wait(self, instance: str, timeout_ms: int = WAIT_MS) -> Any:
        return self.client.wait_for_orchestration(instance, timeout_ms)

    def output(self, instance: str) -> Any:
        """The output of an instance that must complete."""
        result = self.wait(instance)
        assert result.status == "Completed", f"{instance}: {result.status}: {result.error}"
        return result.output

    def error(self, instance: str) -> str:
        """The error of an instance that must fail."""
        result = self.wait(instance)
        assert result.status == "Failed", f"{instance}: {result}"
        assert isinstance(result.error, str)
        return result.error

    def run(self, name: str, input: Any = None, instance: str | None = None) -> Any:
        return self.output(self.start(name, input, instance))

    def status_is(self, instance: str, text: str) -> None:
        """Wait until the custom status is `text`: a test knows by it how far an instance is."""
        seen = 0
        end = time.monotonic() + WAIT_MS / 1000
        while True:
            status = self.client.get_status(instance)
            if status.custom_status == text:
                return
            assert status.status in ("Running", "NotFound"), f"{instance} ended before {text!r}: {status}"
            left = end - time.monotonic()
            assert left > 0, f"{instance} never came to {text!r}: {status}"
            seen = status.custom_status_version
            self.client.wait_for_status_change(instance, seen, 50, min(1000, int(left * 1000) + 1))

    def events(self, instance: str, execution: int = 1) -> list[Any]:
        return list(self.client.read_execution_history(instance, execution))

    def kinds(self, instance: str, execution: int = 1) -> list[str]:
        return [e.kind for e in self.events(instance, execution)]

    def recorded(self, instance: str, kind: str, count: int = 1, execution: int = 1) -> None:
        """Wait until history has so many events of a kind."""
        eventually(
            lambda: self.kinds(instance, execution).count(kind) >= count,
            f"{count} {kind} in {instance}",
        )

    def restart(self, runtime: Runtime, register: Callable[[Runtime], Any], **options: Any) -> Runtime:
        """Shut a runtime down, go on with a fresh one; the last on a store that outlives it reopens that too."""
        runtime.shutdown()
        self.runtimes.remove(runtime)
        if self.address is not None and not self.runtimes:
            self.provider.close()
            self.provider = self.open()
            self.client = Client(self.provider)
        fresh = self.runtime(**options)
        register(fresh)
        fresh.start()
        return fresh

    def close(self) -> None:
        try:
            for runtime in self.runtimes:
                runtime.shutdown()
            violations = self.provider._check()
        finally:
            self.provider.close()
            self.log.removeHandler(self.logs)
            self.log.setLevel(self.level)
        assert violations == [], "\n".join(map(str, violations))
        engine_errors = [
            m
            for m in self.logs.messages("duroxide.engine", logging.ERROR)
            if not any(text in m for text in self.expected_errors)
        ]
        assert engine_errors == [], engine_errors
        no_new_threads(self.before)


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def no_new_threads(before: Iterable[threading.Thread]) -> None:
    """Every thread made since `before` has ended; none was made by anybody but Python."""
    known = set(before)

    def gone() -> bool:
        return not (threads() - known)

    try:
        eventually(gone, "all threads of the engine end")
    except AssertionError:
        faulthandler.dump_traceback(all_threads=True)
        raise AssertionError(f"threads left: {sorted(t.name for t in threads() - known)}") from None
    foreign = [t for t in threading.enumerate() if isinstance(t, threading._DummyThread)]  # type: ignore[attr-defined]
    assert foreign == [], "the engine called Python on a thread that Python did not make"


def package_root() -> str:
    import duroxide

    return str(pathlib.Path(duroxide.__file__).resolve().parent.parent)


def environment(**more: str) -> dict[str, str]:
    """The environment of a Python child that imports the same package, and these modules."""
    env = {k: v for k, v in os.environ.items() if k not in ("RUST_LOG", "DUROXIDE_LOG")}
    env["PYTHONPATH"] = os.pathsep.join(p for p in (package_root(), _TESTS, env.get("PYTHONPATH", "")) if p)
    env["PYTHONUNBUFFERED"] = "1"
    env.update(more)
    return env


def python(source: str, *args: str, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own and give back what it said."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *args],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def spawn(source: str, *args: str, **env: str) -> subprocess.Popen[str]:
    """Start a script in a process of its own, with pipes to talk to it.

    It hears Ctrl-C even where the tests themselves are deaf to it, as in the background of a shell.
    """
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.Popen(
        [sys.executable, "-c", hears + textwrap.dedent(source), *args],
        env=environment(**env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
