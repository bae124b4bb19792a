"""The runtime: registers functions and runs them."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import weakref
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar, overload

from duroxide._activity import Activities, ActivityContext
from duroxide._client import Client
from duroxide._codec import Milliseconds, identifier, milliseconds
from duroxide._context import READ_KV
from duroxide._driver import standing_at
from duroxide._errors import DuroxideError, InvalidArgument, RegistrationError, RuntimeStateError
from duroxide._frames import T_ACTIVITY, T_CHILD, Op
from duroxide._lanes import Lanes
from duroxide._library import at_exit, library, loaded
from duroxide._logging import Log
from duroxide._names import EVERYWHERE, Names
from duroxide._options import RuntimeOptions
from duroxide._payloads import payloads_of
from duroxide._providers import Provider, told
from duroxide._records import about
from duroxide._results import MetricsSnapshot
from duroxide._stop_signals import StopSignals

__all__ = ["Runtime"]

F = TypeVar("F", bound=Callable[[Any, Any], Any])

_DEFAULT_DRAIN_MS = 10_000
_EXIT_DRAIN_MS = 800
_JOIN_SECONDS = 5.0
_EXIT_JOIN_SECONDS = 0.1
_FIRST_VERSION = "1.0.0"

_running: set[Runtime] = set()
"""Started runtimes. They run until they are shut down, whether or not anybody keeps a reference."""


class Runtime:
    """Runs orchestrations and activities of a store, on threads of this process.

    Register everything, then ``start()`` and ``shutdown()``, or ``with runtime:``. A runtime that is not shut down is
    drained for at most 0.8 s when the process ends; what is unfinished then goes on elsewhere or at the next start.

    Args:
        provider (Provider): an open provider.
        options (RuntimeOptions or None): see RuntimeOptions; default None: all defaults.

    Raises:
        TypeError: something else was given.
        ConfigurationError: options that are refused.
        RuntimeStateError: the provider was closed, or opened by another process.

    Example:
        >>> provider = SqliteProvider.in_memory()
        >>> runtime = Runtime(provider)
        >>> @runtime.register_activity("Greet")
        ... def greet(ctx, name):
        ...     return f"Hello, {name}!"
        >>> @runtime.register_orchestration("Hello")
        ... def hello(ctx, name):
        ...     return (yield ctx.schedule_activity("Greet", name))
        >>> with runtime:
        ...     Client(provider).start_orchestration("hello-1", "Hello", "Ada")
        ...     Client(provider).wait_for_orchestration("hello-1").output
        'Hello, Ada!'
    """

    _exit_order = 1  # before the providers

    def __init__(self, provider: Provider, options: Optional[RuntimeOptions] = None) -> None:
        if not isinstance(provider, Provider):
            raise TypeError(f"Runtime takes a provider, e.g. SqliteProvider.open(path), got {told(provider)}")
        if options is not None and not isinstance(options, RuntimeOptions):
            raise TypeError(f"options must be RuntimeOptions(...), got {type(options).__name__}")
        self._provider = provider
        self._options = options or RuntimeOptions()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._state = "new"  # started, stopped
        self._drained = True
        self._orchestrations: dict[tuple[str, str], Callable[..., Any]] = {}
        self._names = Names()
        self._library = library()
        parallel = not getattr(sys, "_is_gil_enabled", lambda: True)()
        head = {**self._options._engine(), "parallel_turns": parallel}
        answer, _ = self._library.call(Op.NEW_RUNTIME, provider._handle, head)
        self._handle: int = answer["handle"]
        self._finalizer = weakref.finalize(self, _release, self._handle, self._pid)
        self._finalizer.atexit = False  # type: ignore[misc]  # the exit hook does more
        service = {"service_name": self._options.service_name}
        if self._options.service_version is not None:
            service["service_version"] = self._options.service_version
        self._log = Log(self._library, self._handle, self._options.log_level, self._options.log_format, service)
        payloads = payloads_of(self._options.codec)
        client = Client(provider, codec=self._options.codec)
        calls = self._library
        self._activities = Activities(
            lambda: client, self._log.put, payloads, lambda ends: calls.call(Op.END_ACTIVITIES, 0, None, ends)
        )
        self._library.call(Op.REGISTER_ACTIVITY, self._handle, {"s": True}, READ_KV.encode())
        self._activities.add(READ_KV, _read_kv)
        self._lanes = Lanes(
            self._library, self._handle, self._orchestrations, self._activities, self._warn, payloads, self._names
        )
        at_exit(self)

    def __repr__(self) -> str:
        return f"<Runtime on {self._provider!r}, {self._state}>"

    # Registration

    @overload
    def register_activity(self, name: str) -> Callable[[F], F]: ...
    @overload
    def register_activity(self, name: str, fn: F) -> F: ...
    @overload
    def register_activity(self, name: F) -> F: ...
    def register_activity(self, name: Any, fn: Any = None) -> Any:
        """Register an activity: ``fn(ctx, input)``, plain or ``async def``.

        Called with a function, as a decorator with a name, or as a bare decorator. Gives the function back unchanged.
        ``register_activity_typed`` is the same.

        Args:
            name (str or function): what it is registered under, at most 1,024 bytes in UTF-8; or the function itself,
                which is then registered under its ``__name__``.
            fn (function or None): the function; default None: the call gives a decorator.

        Raises:
            RegistrationError: bad or reserved name, duplicate, not callable, async generator, after start().

        Example:
            >>> other = Runtime(provider)
            >>> @other.register_activity
            ... def fetch(ctx, url):
            ...     return f"the page at {url}"
            >>> @other.register_activity("Shout")
            ... async def shout(ctx, text):
            ...     return text.upper()
            >>> other.register_activity("Fetch", fetch) is fetch
            True
        """
        return self._register(name, fn, self._add_activity)

    register_activity_typed = register_activity

    @overload
    def register_orchestration(self, name: str) -> Callable[[F], F]: ...
    @overload
    def register_orchestration(self, name: str, fn: F) -> F: ...
    @overload
    def register_orchestration(self, name: F) -> F: ...
    def register_orchestration(self, name: Any, fn: Any = None) -> Any:
        """Register an orchestration as version 1.0.0: ``fn(ctx, input)``, a generator function or a plain one.

        Called as register_activity is. Gives the function back unchanged. ``register_orchestration_typed`` is the same.

        Args:
            name (str or function): what it is registered under, at most 1,024 bytes in UTF-8; or the function itself,
                which is then registered under its ``__name__``.
            fn (function or None): the function; default None: the call gives a decorator.

        Raises:
            RegistrationError: bad or reserved name, duplicate, not callable, async, after start().

        Example:
            >>> other = Runtime(SqliteProvider.in_memory())
            >>> @other.register_orchestration
            ... def nightly(ctx, input):
            ...     yield ctx.schedule_timer(1)
            >>> other.register_orchestration("nightly", nightly)
            Traceback (most recent call last):
            duroxide.RegistrationError: ...
        """
        return self._register(name, fn, lambda n, f: self._add_orchestration(n, _FIRST_VERSION, f))

    register_orchestration_typed = register_orchestration

    @overload
    def register_orchestration_versioned(self, name: str, version: str) -> Callable[[F], F]: ...
    @overload
    def register_orchestration_versioned(self, name: str, version: str, fn: F) -> F: ...
    def register_orchestration_versioned(self, name: str, version: str, fn: Any = None) -> Any:
        """Register a further version of an orchestration. New instances take the latest, running ones keep theirs.

        Called with a function or as a decorator. Gives the function back unchanged.
        ``register_orchestration_versioned_typed`` is the same.

        Args:
            name (str): what it is registered under, at most 1,024 bytes in UTF-8.
            version (str): a semantic version later than those registered under this name.
            fn (function or None): the function; default None: the call gives a decorator.

        Raises:
            RegistrationError: as register_orchestration; a version that is not semantic, or not the latest.

        Example:
            >>> store = SqliteProvider.in_memory()
            >>> other = Runtime(store)
            >>> @other.register_orchestration
            ... def nightly(ctx, input):
            ...     return "1.0.0"
            >>> @other.register_orchestration_versioned("nightly", "1.1.0")
            ... def nightly_with_report(ctx, input):
            ...     return ctx.orchestration_version
            >>> with other:
            ...     Client(store).start_orchestration("nightly-1", "nightly")
            ...     Client(store).wait_for_orchestration("nightly-1").output
            '1.1.0'
        """
        return self._register(name, fn, lambda n, f: self._add_orchestration(n, version, f))

    register_orchestration_versioned_typed = register_orchestration_versioned

    def _register(self, name: Any, fn: Any, add: Callable[[str, Any], None]) -> Any:
        if fn is None and callable(name) and not isinstance(name, str):
            bare = getattr(name, "__name__", None)
            if not isinstance(bare, str):
                raise RegistrationError(
                    f"a {type(name).__name__} has no name of its own: give one, as in register_activity('Name', fn)"
                )
            add(bare, name)
            return name
        if not isinstance(name, str):
            raise RegistrationError(f"a name must be a str, got {type(name).__name__}")
        if fn is not None:
            add(name, fn)
            return fn

        def decorator(function: Any) -> Any:
            add(name, function)
            return function

        return decorator

    def _check(self, name: str, fn: Any) -> str:
        if not callable(fn):
            raise RegistrationError(f"'{name}' is not callable: got {type(fn).__name__}")
        if self._state != "new":
            raise RegistrationError(f"'{name}' cannot be registered after start(): register everything before it")
        try:
            return identifier(name, "name")
        except InvalidArgument as e:
            raise RegistrationError(str(e)) from None

    def _add_activity(self, name: str, fn: Any) -> None:
        self._check(name, fn)
        if inspect.isasyncgenfunction(fn):
            raise RegistrationError(f"activity '{name}' is an async generator; make it return its result")
        blocks = not inspect.iscoroutinefunction(fn)
        self._library.call(Op.REGISTER_ACTIVITY, self._handle, {"b": blocks}, name.encode())
        self._activities.add(name, fn)
        self._remember(T_ACTIVITY, fn, name)

    def _add_orchestration(self, name: str, version: Any, fn: Any) -> None:
        self._check(name, fn)
        if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
            raise RegistrationError(
                f"orchestration '{name}' is async: write it as a generator function, with `yield` for `await`; "
                "activities may be `async def`"
            )
        if not isinstance(version, str):
            raise RegistrationError(f"a version must be a str, got {type(version).__name__}")
        self._library.call(Op.REGISTER_ORCHESTRATION, self._handle, {"n": name, "v": version})
        self._orchestrations[(name, version)] = fn
        self._remember(T_CHILD, fn, name)

    def _remember(self, kind: int, fn: Any, name: str) -> None:
        for names in (self._names, EVERYWHERE):
            names.put(kind, fn, name)

    # Life

    def start(self) -> Runtime:
        """Begin to take work. Returns at once.

        Returns:
            the runtime itself.

        Raises:
            RuntimeStateError: it was started before, or the process is a forked child.
            ProviderError: the store cannot be reached.

        Example:
            >>> other = Runtime(SqliteProvider.in_memory()).start()
            >>> other
            <Runtime on <SqliteProvider sqlite in memory>, started>
            >>> other.shutdown()
            True
        """
        with self._lock:
            self._check_process()
            if self._state != "new":
                raise RuntimeStateError(
                    "this runtime was started already: start() is called once; for another start make a new Runtime "
                    "and register the functions on it"
                )
            try:
                self._library.call(Op.START_RUNTIME, self._handle)
                self._state = "started"
                _running.add(self)
                # The threads that are needed in any case are made now: while the interpreter ends none can be made.
                self._log.start()
                self._activities.start()
                self._lanes.start()
            except (DuroxideError, RuntimeError):  # of the engine; of a thread that cannot be made
                raise
            except BaseException:
                # Ctrl-C, or what another signal raised. Nobody knows how far the start came, and an engine without
                # threads would take work and do none of it.
                self._state = "stopped"
                _running.discard(self)
                self._library.call(Op.SHUTDOWN, self._handle, {"t": 0})
                self._library.call(Op.RELEASE_RUNTIME, self._handle)
                self._finalizer.detach()
                raise
        ineffective = self._options._ineffective()
        if ineffective:
            self._log.put("duroxide.engine", "info", f"options without effect: {', '.join(ineffective)}", {})
        return self

    def shutdown(self, timeout_ms: Optional[Milliseconds] = None) -> bool:
        """Stop taking work, wait for what runs, give the rest back, end all threads. Idempotent.

        Args:
            timeout_ms (int or timedelta or None): how long running work is waited for, in ms or as a timedelta; default
                None: 10,000.

        Returns:
            True when everything that ran has ended.

        Raises:
            TypeError, ValueError: the time is no int or timedelta, or is negative.
            RuntimeStateError: called by an activity or orchestration of this runtime.

        Example:
            >>> other = Runtime(SqliteProvider.in_memory()).start()
            >>> other.shutdown(timeout_ms=2000)
            True
            >>> other
            <Runtime on <SqliteProvider sqlite in memory>, stopped>
        """
        timeout = _DEFAULT_DRAIN_MS if timeout_ms is None else milliseconds(timeout_ms, "timeout_ms")
        return self._stop(timeout, _JOIN_SECONDS)

    def _stop(self, timeout_ms: int, join_seconds: float, lock_seconds: Optional[float] = None) -> bool:
        if self._pid != os.getpid():
            return True  # a forked child: there is nothing here to stop
        if self._lanes.is_own_thread():
            raise RuntimeStateError(
                "shutdown() was called by an activity or orchestration of this runtime, which it would wait for; "
                "call it from another thread"
            )
        # While the process ends, somebody else's shutdown() is not waited for.
        if not self._lock.acquire(timeout=-1 if lock_seconds is None else lock_seconds):
            return False
        try:
            if self._state == "stopped":
                return self._drained
            if self._state == "started":
                drained, _ = self._library.call(Op.SHUTDOWN, self._handle, {"t": timeout_ms})
                self._activities.stop()
                # Work that outlives the time-out keeps its daemon thread, which ends when the work does.
                patience = join_seconds if drained else min(join_seconds, 0.1)
                self._lanes.join(patience)
                self._activities.join(patience)
                self._log.join(join_seconds)
                self._drained = bool(drained)
            self._state = "stopped"
            _running.discard(self)
            self._library.call(Op.RELEASE_RUNTIME, self._handle)
            self._finalizer.detach()
            return self._drained
        finally:
            self._lock.release()

    def _exit(self) -> None:
        """The process is ending, and nobody called shutdown()."""
        if self._state == "started" and self._pid == os.getpid():
            self._library.call(Op.EXITING, self._handle)
        self._stop(_EXIT_DRAIN_MS, _EXIT_JOIN_SECONDS, _EXIT_DRAIN_MS / 1000)

    def __enter__(self) -> Runtime:
        return self.start()

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.shutdown()

    def run_forever(self) -> None:
        """start(), wait for SIGINT or SIGTERM, shutdown(). On the main thread only.

        Raises:
            RuntimeStateError: called on another thread, as start(), or the runtime has stopped by itself, since
                this version is too old for its store.
            ProviderError: the store cannot be reached.

        Example:
            >>> import os, signal
            >>> provider = SqliteProvider.in_memory()
            >>> runtime = Runtime(provider)
            >>> @runtime.register_activity
            ... def stop_this_process(ctx, input):
            ...     os.kill(os.getpid(), signal.SIGTERM)
            >>> @runtime.register_orchestration
            ... def last(ctx, input):
            ...     yield ctx.schedule_activity(stop_this_process)
            >>> Client(provider).start_orchestration("last-1", last)
            >>> runtime.run_forever()
            >>> runtime
            <Runtime on <SqliteProvider sqlite in memory>, stopped>
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeStateError("run_forever() waits for signals, so it runs on the main thread")
        try:
            with StopSignals() as signals:
                if self._state != "started":
                    self.start()
                if not signals.wait(self._lanes.have_ended):
                    with self._lock:  # another thread's shutdown() holds it
                        if self._state == "started":
                            raise RuntimeStateError(f"{self!r} has stopped by itself; its log says why")
        finally:
            self.shutdown()

    # What it did

    def metrics_snapshot(self) -> Optional[MetricsSnapshot]:
        """What it counted since start(); None before start and after shutdown.

        Raises:
            RuntimeStateError: the process is a forked child.

        Example:
            >>> run(order, 40)
            40
            >>> runtime.metrics_snapshot().orch_completions > 0
            True
        """
        answer = self._ask(Op.METRICS)
        return None if answer is None else MetricsSnapshot(**answer)

    def health(self) -> dict[str, Any]:
        """How it is doing.

        Returns:
            ``lease_age_ms``, ``store_reachable``, ``stuck`` (lanes that stay in user code: instance, name, at,
            since_ms), ``waiting`` (oldest waiting job of each activity and tag: activity, tag, age_ms), ``blocked``
            (texts ``"{id}: {reason}"`` of instances that no runtime can go on with: code that does not fit their
            history, payloads that cannot be read, a name that nobody registers).

        Raises:
            RuntimeStateError: it is not started.

        Example:
            >>> health = runtime.health()
            >>> health["store_reachable"], health["stuck"], health["blocked"]
            (True, [], [])
        """
        answer = self._ask(Op.HEALTH)
        if answer is None:
            raise RuntimeStateError("the runtime is not started")
        health = {**answer, **{k: answer[k] or [] for k in ("stuck", "waiting", "blocked")}}
        for stuck in health["stuck"]:
            stuck["at"] = standing_at(stuck["instance"]) or stuck["at"]
        return health

    def _counters(self) -> dict[str, int]:
        """Counters of the engine's inner workings. For tests."""
        return dict(self._ask(Op.COUNTERS) or {})

    def _ask(self, op: int) -> Any:
        if self._state != "started":
            return None
        self._check_process()
        answer, _ = self._library.call(op, self._handle)
        return answer

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeStateError(
                f"this runtime belongs to process {self._pid} and cannot be used in its forked child {os.getpid()}; "
                "open a provider and make a runtime in the child"
            )

    def _warn(self, level: str, message: str, fields: dict[str, str]) -> None:
        self._log.put("duroxide.orchestration", level, about(message, fields), fields)


def _read_kv(ctx: ActivityContext, asked: list[str]) -> Optional[str]:
    """The activity behind ctx.get_kv_value_from_instance."""
    instance, key = asked
    return ctx.get_client().get_kv_value(instance, key)


def _release(handle: int, pid: int) -> None:
    if pid == os.getpid() and loaded():
        library().call(Op.RELEASE_RUNTIME, handle)
