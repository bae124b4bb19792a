"""The client: starts, signals, waits for, reads and manages instances."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import get_ident
from typing import Any, Callable, Optional, TypeVar, Union

from duroxide._arguments import bulk_filter, flag, known_id, kv_key, moment, named, number, prune_options, timeout
from duroxide._codec import (
    Milliseconds,
    decode,
    identifier,
    milliseconds,
    name_of,
    semver,
)
from duroxide._errors import InstanceNotFound, InvalidArgument, RuntimeStateError
from duroxide._frames import Op
from duroxide._immediate import stepping
from duroxide._library import library
from duroxide._payloads import Codec, payloads_of
from duroxide._providers import Provider, told
from duroxide._results import (
    DeleteInstanceResult,
    Event,
    ExecutionInfo,
    InstanceFilter,
    InstanceInfo,
    InstancePage,
    InstanceTree,
    OrchestrationResult,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
    SystemStats,
    Waiting,
)

__all__ = ["Client"]

T = TypeVar("T")
Name = Union[str, Callable[..., Any]]
_IF_EXISTS = {"ignore": 0, "raise": 1, "restart_if_ended": 2}


class Client:
    """Starts, signals, waits for, reads and manages the instances of a store. Needs no runtime.

    Methods may be called from any thread. They wait without the GIL, and on the main thread Ctrl-C ends them. In an
    orchestration function they raise RuntimeStateError: what they give is different in every replay.

    Times are milliseconds (int) or timedeltas. Ids and names are non-empty str without NUL, at most 1,024 bytes in
    UTF-8 where an instance is created and 2,048 where one is named; anything else raises InvalidArgument. Trouble
    with the storage raises ProviderError.

    Args:
        provider: an open provider.
        codec: how values are stored, see Codec; the one that the runtimes have. None: as JSON.

    Raises:
        TypeError: something else.
        ConfigurationError: a codec with a name that cannot be stored.
    """

    def __init__(self, provider: Provider, *, codec: Optional[Codec] = None) -> None:
        if not isinstance(provider, Provider):
            raise TypeError(f"Client takes a provider, e.g. SqliteProvider.open(path), got {told(provider)}")
        self._provider = provider
        self._payloads = payloads_of(codec)
        self._handle = provider._handle

    def __repr__(self) -> str:
        return f"<Client of {self._provider!r}>"

    def _call(self, op: int, head: Any, body: bytes, give: Callable[[Any, bytes], T]) -> T:
        """Run an operation and give what ``give`` makes of header and body of its answer.

        Every method ends in one such call: the coroutines of duroxide.aio differ in nothing else.
        """
        self._check()
        return give(*library().call(op, self._handle, head, body))

    def _check(self) -> None:
        if stepping and get_ident() in stepping:
            raise RuntimeStateError(
                "a client was called inside an orchestration function, where it would give something else in every "
                "replay; call it in an activity (ctx.get_client()), or use a method of the orchestration's ctx"
            )
        if self._provider._pid != os.getpid():
            raise RuntimeStateError(
                f"this client's provider was opened by process {self._provider._pid} and cannot be used in its "
                f"forked child {os.getpid()}; open another one here"
            )

    # Starting

    def start_orchestration(
        self,
        instance_id: str,
        name: Name,
        input: Any = None,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """Start an instance of the latest version. It is durable when this returns.

        Args:
            instance_id: its id.
            name: name of the orchestration, or the registered function. Not checked: another process may have it.
            input: anything JSON takes.
            if_exists: what to do when the id is in use, running or ended: ``"ignore"`` (nothing), ``"raise"``
                (InstanceExists), ``"restart_if_ended"`` (an ended one is deleted and started afresh).
            delay_ms: how long it waits before it begins.

        Raises:
            TypeError, ValueError: the input is not JSON. Nothing was stored.
            InstanceExists: the id is in use, with ``if_exists="raise"``.
        """
        payload = self._payloads.encode(input, "input of start_orchestration", name)
        return self._start(instance_id, name, "", payload, if_exists, delay_ms)

    def start_orchestration_versioned(
        self,
        instance_id: str,
        name: Name,
        input: Any,
        version: str,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """start_orchestration of one version, e.g. ``"1.0.1"``.

        Raises:
            InvalidArgument: the version is not a semantic version.
        """
        payload = self._payloads.encode(input, "input of start_orchestration_versioned", name)
        return self._start(instance_id, name, semver(version), payload, if_exists, delay_ms)

    def start_orchestration_typed(
        self,
        instance_id: str,
        name: Name,
        input: Any = None,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """The same as start_orchestration."""
        payload = self._payloads.encode(input, "input of start_orchestration_typed", name)
        return self._start(instance_id, name, "", payload, if_exists, delay_ms)

    def start_orchestration_versioned_typed(
        self,
        instance_id: str,
        name: Name,
        input: Any,
        version: str,
        *,
        if_exists: str = "ignore",
        delay_ms: Milliseconds = 0,
    ) -> None:
        """The same as start_orchestration_versioned."""
        payload = self._payloads.encode(input, "input of start_orchestration_versioned_typed", name)
        return self._start(instance_id, name, semver(version), payload, if_exists, delay_ms)

    def _start(
        self,
        instance_id: str,
        name: Name,
        version: str,
        payload: bytes,
        if_exists: str,
        delay_ms: Milliseconds,
    ) -> None:
        head: dict[str, Any] = {
            "i": identifier(instance_id, "instance_id"),
            "n": identifier(name_of(name, "name of the orchestration"), "name of the orchestration"),
            "v": version,
            "d": milliseconds(delay_ms, "delay_ms"),
        }
        if not isinstance(if_exists, str) or if_exists not in _IF_EXISTS:
            raise InvalidArgument(f"Invalid input: if_exists must be one of {', '.join(_IF_EXISTS)}, got {if_exists!r}")
        head["x"] = _IF_EXISTS[if_exists]
        return self._call(Op.START, head, payload, _nothing)

    # Signals

    def raise_event(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """Raise an event. An instance that is unknown or has ended drops it."""
        payload = self._payloads.encode(data, "data of raise_event", event_name)
        return self._call(Op.RAISE_EVENT, named(instance_id, event_name, "event_name"), payload, _nothing)

    def enqueue_event(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """Put a message into a queue of an instance, which may start later.

        ``data`` is encoded as JSON: what was text before (``json.dumps(x)``) arrives as text.
        """
        payload = self._payloads.encode(data, "data of enqueue_event", queue_name)
        return self._call(Op.ENQUEUE_EVENT, named(instance_id, queue_name, "queue_name"), payload, _nothing)

    def raise_event_typed(self, instance_id: str, event_name: str, data: Any = None) -> None:
        """raise_event; a str is taken for JSON already."""
        payload = self._payloads.encode_typed(data, "data of raise_event_typed", event_name)
        return self._call(Op.RAISE_EVENT, named(instance_id, event_name, "event_name"), payload, _nothing)

    def enqueue_event_typed(self, instance_id: str, queue_name: str, data: Any = None) -> None:
        """enqueue_event; a str is taken for JSON already."""
        payload = self._payloads.encode_typed(data, "data of enqueue_event_typed", queue_name)
        return self._call(Op.ENQUEUE_EVENT, named(instance_id, queue_name, "queue_name"), payload, _nothing)

    def cancel_instance(self, instance_id: str, reason: Optional[str] = None) -> None:
        """Ask an instance to end: it fails with ``canceled: {reason}``. Unknown or ended: nothing happens."""
        if reason is None:
            reason = ""
        elif not isinstance(reason, str):
            raise InvalidArgument(f"Invalid input: reason must be a str, got {type(reason).__name__}")
        elif "\0" in reason:
            raise InvalidArgument("Invalid input: reason must not contain NUL")
        body = self._payloads.encode_text(reason) if reason else b""
        return self._call(Op.CANCEL, {"i": known_id(instance_id)}, body, _nothing)

    # Waiting

    def get_status(self, instance_id: str) -> OrchestrationResult:
        """How an instance stands; status ``"NotFound"`` for an unknown id."""
        return self._call(Op.STATUS, {"i": known_id(instance_id)}, b"", self._result)

    def wait_for_orchestration(
        self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000
    ) -> OrchestrationResult:
        """Wait until an instance is Completed or Failed. An unknown id is waited for too.

        Args:
            timeout_ms: 0 looks once, None waits for ever.

        Raises:
            WaitTimeout: ``Operation timed out``.
        """
        head = {"i": known_id(instance_id), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_END, head, b"", self._result)

    def wait_for_orchestration_typed(self, instance_id: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """Wait for the output itself.

        Raises:
            OrchestrationError: the instance Failed; or the subclass that fits.
            WaitTimeout: ``Operation timed out``.
        """
        head = {"i": known_id(instance_id), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_END, head, b"", self._output)

    def wait_for_status_change(
        self,
        instance_id: str,
        last_seen_version: int = 0,
        poll_interval_ms: Milliseconds = 200,
        timeout_ms: Optional[Milliseconds] = 30000,
    ) -> Optional[OrchestrationResult]:
        """Wait for a custom status newer than the one seen last.

        Args:
            last_seen_version: ``custom_status_version`` of that one; 0 = none.
            poll_interval_ms: without effect where the store tells of changes.
            timeout_ms: 0 looks once, None waits for ever.

        Returns:
            the status; None when time ran out, and at once when the instance has ended with nothing newer.
        """
        if isinstance(last_seen_version, bool) or not isinstance(last_seen_version, int):
            raise InvalidArgument(
                f"Invalid input: last_seen_version must be an int, got {type(last_seen_version).__name__}"
            )
        if not 0 <= last_seen_version < 2**63:
            raise InvalidArgument("Invalid input: last_seen_version must not be negative or above 2**63")
        milliseconds(poll_interval_ms, "poll_interval_ms")
        head = {"i": known_id(instance_id), "s": last_seen_version, "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_STATUS, head, b"", self._result_or_none)

    # Key-value store of an instance

    def get_kv_value(self, instance_id: str, key: str) -> Optional[str]:
        """A value that the instance set, as text; None when there is none."""
        head = {"i": known_id(instance_id), "k": kv_key(key)}
        return self._call(
            Op.KV_VALUE, head, b"", lambda a, b: None if a is None else self._payloads.decode_text(b.decode())
        )

    def get_kv_value_typed(self, instance_id: str, key: str) -> Any:
        """get_kv_value, decoded when it is JSON."""
        head = {"i": known_id(instance_id), "k": kv_key(key)}
        return self._call(
            Op.KV_VALUE, head, b"", lambda a, b: None if a is None else decode(self._payloads.decode_text(b.decode()))
        )

    def wait_for_kv_value(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> str:
        """Wait until a key has a value.

        Raises:
            WaitTimeout: ``Timed out waiting for value '{key}' on instance '{id}'``.
        """
        head = {"i": known_id(instance_id), "k": kv_key(key), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_KV, head, b"", lambda _, b: self._payloads.decode_text(b.decode()))

    def wait_for_kv_value_typed(self, instance_id: str, key: str, timeout_ms: Optional[Milliseconds] = 30000) -> Any:
        """wait_for_kv_value, decoded when it is JSON."""
        head = {"i": known_id(instance_id), "k": kv_key(key), "t": timeout(timeout_ms)}
        return self._call(Op.WAIT_KV, head, b"", lambda _, b: decode(self._payloads.decode_text(b.decode())))

    # Reading

    def list_all_instances(self) -> list[str]:
        """The ids of all instances, newest first."""
        return self._call(Op.INSTANCES, {"ids_only": True}, b"", _ids)

    def list_instances_by_status(self, status: str) -> list[str]:
        """The ids of the instances whose current execution has this status; an unknown status: none."""
        head = {"ids_only": True, "execution_status": identifier(status, "status")}
        return self._call(Op.INSTANCES, head, b"", _ids)

    def list_instances(
        self,
        *,
        name: Optional[Name] = None,
        version: Optional[str] = None,
        status: Optional[str] = None,
        id_prefix: Optional[str] = None,
        parent: Optional[str] = None,
        created_after: Optional[int] = None,
        created_before: Optional[int] = None,
        updated_after: Optional[int] = None,
        updated_before: Optional[int] = None,
        blocked: Optional[bool] = None,
        order: str = "newest",
        limit: int = 100,
        cursor: Optional[str] = None,
    ) -> InstancePage:
        """A page of the instances that fit all conditions given.

        Args:
            name, version: of the orchestration.
            status: ``"Running"``, ``"Completed"`` or ``"Failed"``.
            id_prefix: what the id begins with.
            parent: id of the parent.
            created_after, created_before, updated_after, updated_before: ms since the epoch.
            blocked: True: only those that wait for code that fits their history; False: only others.
            order: ``"newest"`` or ``"oldest"`` first.
            limit: at most so many on a page, 1 to 10,000.
            cursor: ``next_cursor`` of the page before.
        """
        if status is not None and status not in ("Running", "Completed", "Failed"):
            raise InvalidArgument(f"Invalid input: status must be Running, Completed or Failed, got {status!r}")
        if order not in ("newest", "oldest"):
            raise InvalidArgument(f"Invalid input: order must be newest or oldest, got {order!r}")
        head = {
            "name": "" if name is None else name_of(name, "name of the orchestration"),
            "version": "" if version is None else identifier(version, "version"),
            "status": status or "",
            "id_prefix": "" if id_prefix is None else identifier(id_prefix, "id_prefix"),
            "parent": "" if parent is None else known_id(parent),
            "created_after": moment(created_after, "created_after"),
            "created_before": moment(created_before, "created_before"),
            "updated_after": moment(updated_after, "updated_after"),
            "updated_before": moment(updated_before, "updated_before"),
            "blocked": flag(blocked, "blocked"),
            "oldest_first": order == "oldest",
            "limit": number(limit, "limit", 1, 10_000),
            "cursor": "" if cursor is None else identifier(cursor, "cursor", 1 << 16),
        }
        return self._call(Op.INSTANCES, head, b"", self._page)

    def iter_instances(self, **filters: Any) -> Iterator[InstanceInfo]:
        """All instances that fit, page by page. Arguments are those of list_instances."""
        page = self.list_instances(**filters)
        while True:
            yield from page.items
            if page.next_cursor is None:
                return
            page = self.list_instances(**{**filters, "cursor": page.next_cursor})

    def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """An instance.

        Raises:
            InstanceNotFound: ``get_instance_info: Instance {id} not found``.
        """
        return self._call(Op.INSTANCE, {"i": known_id(instance_id)}, b"", lambda a, _: self._info(a))

    def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """One execution of an instance.

        Raises:
            InstanceNotFound: ``get_execution_info: Execution {n} not found for instance {id}``.
        """
        wanted = number(execution_id, "execution_id")

        def find(answer: Any, _: bytes) -> ExecutionInfo:
            for execution in self._executions(answer):
                if execution.execution_id == wanted:
                    return execution
            raise InstanceNotFound(f"get_execution_info: Execution {wanted} not found for instance {instance_id}")

        return self._call(Op.EXECUTIONS, {"i": known_id(instance_id)}, b"", find)

    def list_executions(self, instance_id: str) -> list[int]:
        """The executions of an instance, ascending; none for an unknown id."""
        head = {"i": known_id(instance_id)}
        return self._call(Op.EXECUTIONS, head, b"", lambda a, b: [e["execution_id"] for e in a])

    def read_execution_history(self, instance_id: str, execution_id: int) -> list[Event]:
        """The events of one execution; none for an unknown one."""
        wanted = number(execution_id, "execution_id")
        head = {"i": known_id(instance_id), "e": wanted or -1}  # the engine takes 0 for the current one
        return self._call(Op.HISTORY, head, b"", self._events)

    def get_waiting(self, instance_id: str) -> list[Waiting]:
        """What an instance waits for, from its history: no live worker is needed. Nothing for one that has ended.

        Raises:
            InstanceNotFound: unknown id.
        """
        head = {"i": known_id(instance_id)}
        return self._call(Op.WAITING, head, b"", lambda a, _: [Waiting(**w) for w in a])

    def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """An instance with all its descendants; of an unknown id: that id alone."""
        head = {"i": known_id(instance_id)}
        return self._call(Op.TREE, head, b"", lambda ids, _: InstanceTree(instance_id, list(ids), len(ids)))

    def get_orchestration_stats(self, instance_id: str) -> Optional[SystemStats]:
        """Sizes of an instance; None for an unknown id."""
        head = {"i": known_id(instance_id)}
        return self._call(Op.INSTANCE_STATS, head, b"", lambda a, _: None if a is None else SystemStats(**a))

    def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store."""
        return self._call(Op.SYSTEM_METRICS, None, b"", lambda a, _: SystemMetrics(**a))

    def get_queue_depths(self) -> QueueDepths:
        """What waits in the store."""
        return self._call(Op.QUEUE_DEPTHS, None, b"", lambda a, _: QueueDepths(**a))

    # Managing

    def delete_instance(self, instance_id: str, force: bool = False) -> DeleteInstanceResult:
        """Delete an instance with its descendants, histories and messages.

        Args:
            force: also when it is running.

        Raises:
            InstanceRunning: it is running.
            InstanceNotFound: ``Instance {id} not found``.
            InvalidArgument: it is a child; delete its root.
        """
        head = {"i": known_id(instance_id), "f": bool(force)}
        return self._call(Op.DELETE, head, b"", lambda a, _: DeleteInstanceResult(**a))

    def delete_instance_bulk(self, filter: Optional[InstanceFilter] = None) -> DeleteInstanceResult:
        """Delete the root instances that have ended and fit the filter, with their descendants."""
        head = bulk_filter(filter)
        return self._call(Op.DELETE_BULK, head, b"", lambda a, _: DeleteInstanceResult(**a))

    def prune_executions(self, instance_id: str, options: Optional[PruneOptions] = None) -> PruneResult:
        """Delete old executions of an instance. The current one stays."""
        head = {"i": known_id(instance_id), **prune_options(options)}
        return self._call(Op.PRUNE, head, b"", lambda a, _: PruneResult(**a))

    def prune_executions_bulk(
        self, filter: Optional[InstanceFilter] = None, options: Optional[PruneOptions] = None
    ) -> PruneResult:
        """Delete old executions of all instances that fit the filter, running ones too."""
        head = {**bulk_filter(filter), **prune_options(options)}
        return self._call(Op.PRUNE_BULK, head, b"", lambda a, _: PruneResult(**a))

    def revive_instance(self, instance_id: str) -> None:
        """Open an instance again that failed by no fault of its own code. It goes on where it stood.

        For one whose code did not fit its history (after a mended deploy), whose work was given up as poison, or that
        failed by the infrastructure. Children over whose like failure it failed are revived too. Messages that it had
        not taken when it failed are gone. An instance that runs, blocked or not, is left as it is.

        Raises:
            InstanceNotFound: ``Instance {id} not found``.
            InvalidArgument: it has completed, or failed by its own code or by cancellation.
        """
        return self._call(Op.REVIVE, {"i": known_id(instance_id)}, b"", _nothing)

    # What answers mean

    def _result(self, answer: dict[str, Any], body: bytes) -> OrchestrationResult:
        status, payloads = answer["status"], self._payloads
        error, custom, failure = answer.get("error"), answer.get("custom_status"), answer.get("failure")
        if error is not None:
            error = payloads.decode_error(error)
        if failure is not None and failure.get("traceback"):
            failure["traceback"] = payloads.decode_error(failure["traceback"])
        return OrchestrationResult(
            status,
            payloads.decode(body.decode()) if status == "Completed" else None,
            error,
            None if custom is None else payloads.decode_text(custom),
            answer.get("custom_status_version", 0),
            answer.get("blocked"),
            failure,
        )

    def _result_or_none(self, answer: Any, body: bytes) -> Optional[OrchestrationResult]:
        return None if answer is None else self._result(answer, body)

    def _output(self, answer: Any, body: bytes) -> Any:
        result = self._result(answer, body)
        result.raise_for_status()
        return result.output

    def _info(self, item: dict[str, Any]) -> InstanceInfo:
        return InstanceInfo(**{**item, "output": self._payloads.shown(item["output"])})

    def _page(self, answer: Any, _: bytes) -> InstancePage:
        return InstancePage([self._info(item) for item in answer["items"]], answer["next"] or None)

    def _executions(self, answer: Any) -> list[ExecutionInfo]:
        return [ExecutionInfo(**{**e, "output": self._payloads.shown(e["output"])}) for e in answer]

    def _events(self, answer: Any, _: bytes) -> list[Event]:
        shown = self._payloads.shown_within
        return [
            Event(e["event_id"], e["kind"], e["source_event_id"], e["timestamp_ms"], shown(e["data"]), e.get("at", ""))
            for e in answer
        ]


def _nothing(_: Any, __: bytes) -> None:
    return None


def _ids(answer: Any, _: bytes) -> list[str]:
    return list(answer)
