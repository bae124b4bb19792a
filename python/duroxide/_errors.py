"""The exceptions of this package.

::

    DuroxideError
    ├── ClientError (RuntimeError)               a client or admin call that failed
    │   ├── InvalidArgument (ValueError)         an argument out of its range
    │   ├── InstanceNotFound (LookupError)
    │   ├── InstanceRunning
    │   ├── InstanceExists
    │   ├── WaitTimeout (TimeoutError)           a wait ran out of time
    │   └── ProviderError                        trouble with the storage
    ├── RegistrationError (ValueError)           a function that cannot be registered so
    ├── RuntimeStateError (RuntimeError)         a call at the wrong time of an object's life
    ├── ConfigurationError (ValueError)          options that are refused
    ├── CodecError (ValueError)                  a payload that cannot be read here
    └── OrchestrationError                       thrown into orchestrations; str(e) is the text of the failure
        ├── ActivityError
        │   └── ActivityTimeout (TimeoutError)
        ├── SubOrchestrationError
        ├── Cancelled
        └── NondeterminismError                  never thrown into code, only seen by clients
    NonRetryableError (Exception)                raised by activities: no retry policy tries again

In brackets: what a class is besides, so that ``except ValueError`` and the like work as expected.
"""

from __future__ import annotations

from typing import Any, Optional

__all__ = [
    "ActivityError",
    "ActivityTimeout",
    "Cancelled",
    "ClientError",
    "CodecError",
    "ConfigurationError",
    "DuroxideError",
    "InstanceExists",
    "InstanceNotFound",
    "InstanceRunning",
    "InvalidArgument",
    "NonRetryableError",
    "NondeterminismError",
    "OrchestrationError",
    "ProviderError",
    "RegistrationError",
    "RuntimeStateError",
    "SubOrchestrationError",
    "WaitTimeout",
]


class DuroxideError(Exception):
    """The root of what this package raises.

    Example:
        >>> try:
        ...     client.get_instance_info("nobody")
        ... except DuroxideError as error:
        ...     print(type(error).__name__)
        InstanceNotFound
    """


class ClientError(DuroxideError, RuntimeError):
    """A call of a client that failed; a RuntimeError as well.

    Example:
        >>> try:
        ...     client.delete_instance("nobody")
        ... except ClientError as error:
        ...     print(error)
        Instance nobody not found
    """


class InvalidArgument(ClientError, ValueError):
    """An argument that is out of its range; a ValueError as well. Nothing was stored.

    Example:
        >>> client.list_instances(limit=0)
        Traceback (most recent call last):
        duroxide.InvalidArgument: Invalid input: limit must be from 1 to 10000, got 0
    """


class InstanceNotFound(ClientError, LookupError):
    """There is no instance with this id; a LookupError as well.

    Example:
        >>> client.get_waiting("nobody")
        Traceback (most recent call last):
        duroxide.InstanceNotFound: ...
    """


class InstanceRunning(ClientError):
    """The instance has not ended, and the call is only for those that have.

    Example:
        >>> client.start_orchestration("approval-20", approval)
        >>> try:
        ...     client.delete_instance("approval-20")
        ... except InstanceRunning:
        ...     client.cancel_instance("approval-20")
        >>> client.wait_for_orchestration("approval-20").status
        'Failed'
    """


class InstanceExists(ClientError):
    """The id is in use, and the start was to fail then (``if_exists="raise"``).

    Example:
        >>> client.start_orchestration("order-30", order, 40)
        >>> client.start_orchestration("order-30", order, 40, if_exists="raise")
        Traceback (most recent call last):
        duroxide.InstanceExists: ...
    """


class WaitTimeout(ClientError, TimeoutError):
    """A wait ran out of time; a TimeoutError as well. What was waited for may still come.

    Example:
        >>> client.wait_for_kv_value("nobody", "charged", timeout_ms=10)
        Traceback (most recent call last):
        duroxide.WaitTimeout: Timed out waiting for value 'charged' on instance 'nobody'
    """


class ProviderError(ClientError):
    """Trouble with the storage.

    Args:
        text (str): what str() gives.
        operation (str): see below.
        retryable (bool): see below.

    Attributes:
        operation (str): what was being done, e.g. ``"open"``; empty (default) when unknown.
        retryable (bool): whether trying again may help; default False.

    Example:
        >>> with open("notes.txt", "w") as file:
        ...     length = file.write("no database, but a text that is longer than the header of one, " * 9)
        >>> try:
        ...     SqliteProvider.open("notes.txt")
        ... except ProviderError as error:
        ...     print(error.operation, error.retryable)
        open False
    """

    def __init__(self, text: str, *, operation: str = "", retryable: bool = False) -> None:
        super().__init__(text)
        self.operation = operation
        self.retryable = retryable


class RegistrationError(DuroxideError, ValueError):
    """A function, name or version that cannot be registered, or not any more; a ValueError as well.

    Example:
        >>> runtime.register_activity("late", greet)  # the runtime has been started
        Traceback (most recent call last):
        duroxide.RegistrationError: 'late' cannot be registered after start(): register everything before it
    """


class RuntimeStateError(DuroxideError, RuntimeError):
    """A call at the wrong time: a second start, use after shutdown, use after a fork; a RuntimeError as well.

    Example:
        >>> runtime.start()
        Traceback (most recent call last):
        duroxide.RuntimeStateError: this runtime was started already: ...
    """


class ConfigurationError(DuroxideError, ValueError):
    """An option that is out of its range or contradicts another one; a ValueError as well.

    Example:
        >>> RuntimeOptions(worker_concurrency=0)
        Traceback (most recent call last):
        duroxide.ConfigurationError: worker_concurrency must be from 1 to 10000, got 0
    """


class CodecError(DuroxideError, ValueError):
    """A payload that was stored by a codec which is not the one here, or has another key, or that is nested too deeply
    for this process. Nothing is changed by it; a ValueError as well.

    Example:
        >>> class Spoken(Codec):
        ...     name = "repr"
        ...     def encode(self, value):
        ...         return repr(value)
        >>> client.start_orchestration("approval-23", approval)
        >>> Client(provider, codec=Spoken()).cancel_instance("approval-23", "sealed")
        >>> client.wait_for_orchestration("approval-23")
        Traceback (most recent call last):
        duroxide.CodecError: ...
    """


class OrchestrationError(DuroxideError):
    """A failure as orchestrations and the ``*_typed`` waits of clients see it; ``str(e)`` is its text.

    Attributes:
        location (str): ``file:line`` of the workflow where it failed, as clients are told; empty when unknown, and
            where the error is caught in a workflow.

    Example:
        >>> def flow(ctx, input):
        ...     yield ctx.schedule_timer(1)
        ...     raise ValueError("no such page")
        >>> try:
        ...     run(flow)
        ... except OrchestrationError as error:
        ...     print("no such page" in str(error), error.location)
        True ...:3
    """

    location: str = ""


class ActivityError(OrchestrationError):
    """An activity that raised, or returned something that is not JSON.

    The text is ``Activity '{name}' call failed: {type}: {message}``.

    Args:
        text (str): what str() gives.
        activity_name, original_type, original_traceback (str): see below.
        attempt (int): see below.

    Attributes:
        activity_name (str): name under which the activity was scheduled; default empty.
        original_type (str): name of the exception's class; empty (default) when there was none.
        original_traceback (str): its traceback as text; empty (default) when there was none.
        attempt (int): which attempt of a retry policy failed, from 1; default 1.

    Example:
        >>> def flow(ctx, amount):
        ...     try:
        ...         yield ctx.schedule_activity(charge, amount)
        ...     except ActivityError as error:
        ...         last_line = error.original_traceback.splitlines()[-1]
        ...         return [error.activity_name, error.original_type, error.attempt, last_line]
        >>> run(flow, 4000)
        ['charge', 'ValueError', 1, 'ValueError: card declined']
    """

    def __init__(
        self,
        text: str,
        *,
        activity_name: str = "",
        original_type: str = "",
        original_traceback: str = "",
        attempt: int = 1,
    ) -> None:
        super().__init__(text)
        self.activity_name = activity_name
        self.original_type = original_type
        self.original_traceback = original_traceback
        self.attempt = attempt


class ActivityTimeout(ActivityError, TimeoutError):
    """An activity that ran out of time; a TimeoutError as well. The text is ``timeout: activity timed out``.

    Example:
        >>> def endless(ctx, input):
        ...     while not ctx.is_cancelled():
        ...         time.sleep(0.01)
        >>> def flow(ctx, input):
        ...     activities[ctx.instance_id] = endless
        ...     try:
        ...         yield ctx.schedule_activity(any_activity, timeout_ms=20)
        ...     except ActivityTimeout as error:
        ...         return str(error)
        >>> run(flow)
        'timeout: activity timed out'
    """


class SubOrchestrationError(OrchestrationError):
    """A child that failed; the text is that of its own failure.

    Args:
        text (str): what str() gives.
        instance_id (str): see below.

    Attributes:
        instance_id (str): id of the child; default empty.

    Example:
        >>> def flow(ctx, amount):
        ...     try:
        ...         yield ctx.schedule_sub_orchestration_with_id(order, "order-31", amount)
        ...     except SubOrchestrationError as error:
        ...         return error.instance_id
        >>> run(flow, 4000)
        'order-31'
    """

    def __init__(self, text: str, *, instance_id: str = "") -> None:
        super().__init__(text)
        self.instance_id = instance_id


class Cancelled(OrchestrationError):
    """An instance that was cancelled; the text is ``canceled: {reason}``.

    What a parent catches for a cancelled child is a SubOrchestrationError as well.

    Example:
        >>> client.start_orchestration("approval-21", approval)
        >>> client.cancel_instance("approval-21", "the customer left")
        >>> client.wait_for_orchestration_typed("approval-21")
        Traceback (most recent call last):
        duroxide.Cancelled: canceled: the customer left
    """


class _CancelledChild(SubOrchestrationError, Cancelled):
    """A child that was cancelled, as its parent sees it."""

    def __reduce__(self) -> Any:
        # It goes by the name of its base, by which pickle would make one of those.
        return _cancelled_child, self.args, self.__dict__


def _cancelled_child(*args: Any) -> SubOrchestrationError:
    return _CancelledChild(*args)


class NondeterminismError(OrchestrationError):
    """Code that did not repeat what its history recorded; the text begins ``nondeterministic:``.

    It is never raised in an orchestration, only by the clients' ``raise_for_status`` and ``*_typed`` waits.

    Example:
        >>> store = SqliteProvider.in_memory()
        >>> def deploy(code):
        ...     runtime = Runtime(store)
        ...     runtime.register_orchestration("job", code)
        ...     return runtime
        >>> def job(ctx, input):
        ...     ctx.set_custom_status("waiting")
        ...     return (yield ctx.wait_for_event("go"))
        >>> with deploy(job):
        ...     Client(store).start_orchestration("job-1", "job")
        ...     Client(store).wait_for_status_change("job-1").custom_status
        'waiting'
        >>> with deploy(lambda ctx, input: (yield ctx.new_guid())):
        ...     Client(store).raise_event("job-1", "go")
        ...     Client(store).wait_for_orchestration_typed("job-1")
        Traceback (most recent call last):
        duroxide.NondeterminismError: nondeterministic: ...
    """


class NonRetryableError(Exception):
    """Raise it in an activity to fail for good: no retry policy tries again.

    Example:
        >>> def pay(ctx, amount):
        ...     raise NonRetryableError("the account is closed")
        >>> def flow(ctx, amount):
        ...     activities[ctx.instance_id] = pay
        ...     try:
        ...         yield ctx.schedule_activity_with_retry(any_activity, amount, {"max_attempts": 5})
        ...     except ActivityError as error:
        ...         return [error.attempt, error.original_type]
        >>> run(flow, 40)
        [1, 'NonRetryableError']
    """


_CALL_ERRORS: dict[str, type[DuroxideError]] = {
    c.__name__: c
    for c in (
        ClientError,
        InvalidArgument,
        InstanceNotFound,
        InstanceRunning,
        InstanceExists,
        WaitTimeout,
        RegistrationError,
        RuntimeStateError,
        ConfigurationError,
    )
}


def call_error(class_name: str, text: str, fields: Optional[dict[str, Any]]) -> DuroxideError:
    """The exception that an error frame of the engine stands for."""
    kind = _CALL_ERRORS.get(class_name)
    if kind is not None:
        return kind(text)
    fields = fields or {}
    return ProviderError(
        text,
        operation=str(fields.get("operation", "")),
        retryable=bool(fields.get("retryable", False)),
    )


def failure_error(
    kind: str,
    text: str,
    type_name: str = "",
    traceback: str = "",
    activity: str = "",
    instance: str = "",
    attempt: int = 1,
) -> OrchestrationError:
    """The exception that a recorded failure is raised as."""
    if kind == "activity" or kind == "timeout":
        return (ActivityError if kind == "activity" else ActivityTimeout)(
            text,
            activity_name=activity,
            original_type=type_name,
            original_traceback=traceback,
            attempt=attempt or 1,
        )
    if kind == "cancelled":
        return _CancelledChild(text, instance_id=instance) if instance else Cancelled(text)
    if kind == "nondeterminism":
        return NondeterminismError(text)
    if instance:
        return SubOrchestrationError(text, instance_id=instance)
    return OrchestrationError(text)


# Users see these names in tracebacks, so they carry the module they are imported from.
for _name in __all__:
    globals()[_name].__module__ = "duroxide"
del _name
_CancelledChild.__name__ = _CancelledChild.__qualname__ = "Cancelled"
_CancelledChild.__module__ = "duroxide"
