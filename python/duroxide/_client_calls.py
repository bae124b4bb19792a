"""What all calls of clients have in common."""

from __future__ import annotations

import logging
import os
from threading import get_ident
from typing import Any, Callable, Optional, TypeVar

from duroxide._errors import RuntimeStateError
from duroxide._immediate import stepping
from duroxide._library import library
from duroxide._payloads import Payloads
from duroxide._providers import Provider
from duroxide._records import NO_CONTEXT
from duroxide._results import (
    Event,
    ExecutionInfo,
    InstanceInfo,
    InstancePage,
    OrchestrationResult,
)

__all__ = ["ClientCalls", "event", "ids", "mail", "nothing"]

T = TypeVar("T")


class ClientCalls:
    """A client without its methods: how they reach the store, and what the answers mean.

    Every method ends in one _call: the coroutines of duroxide.aio differ in nothing else.
    """

    _provider: Provider
    _payloads: Payloads
    _handle: int

    def _call(self, op: int, head: Any, body: bytes, give: Callable[[Any, bytes], T]) -> T:
        """Run an operation and give what ``give`` makes of header and body of its answer."""
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


def nothing(_: Any, __: bytes) -> None:
    """What calls without a result give."""
    return


def sent(what: str, instance_id: str, dropped: str) -> Callable[[Any, bytes], None]:
    """What calls give that send to an instance. Whether somebody is there to take it, only the log tells.

    Args:
        what: that was sent.
        dropped: why it may not have been stored.
    """

    def give(stored: Any, _: bytes) -> None:
        if not stored:
            logging.getLogger("duroxide.engine").warning(
                "instance '%s': %s was dropped: %s",
                instance_id,
                what,
                dropped,
                extra={**NO_CONTEXT, "instance_id": instance_id},
            )

    return give


def event(instance_id: str, name: str) -> Callable[[Any, bytes], None]:
    """sent() for an event."""
    return sent(f"event '{name}'", instance_id, "no instance of this id runs")


def mail(instance_id: str, queue: str) -> Callable[[Any, bytes], None]:
    """sent() for a message to a queue."""
    return sent(
        f"message to queue '{queue}'", instance_id, "it has ended, or is not started and 10,000 messages wait for it"
    )


def ids(answer: Any, _: bytes) -> list[str]:
    """What calls give that list instances."""
    return list(answer)
