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
    ├── CodecError (ValueError)                  a payload that the codec here cannot read
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
    """The root of what this package raises."""


class ClientError(DuroxideError, RuntimeError):
    """A call of a client that failed."""


class InvalidArgument(ClientError, ValueError):
    """An argument that is out of its range. Nothing was stored."""


class InstanceNotFound(ClientError, LookupError):
    """There is no instance with this id."""


class InstanceRunning(ClientError):
    """The instance has not ended, and the call is only for those that have."""


class InstanceExists(ClientError):
    """The id is in use, and the start was to fail then (``if_exists="raise"``)."""


class WaitTimeout(ClientError, TimeoutError):
    """A wait ran out of time. What was waited for may still come."""


class ProviderError(ClientError):
    """Trouble with the storage.

    Attributes:
        operation: what was being done, e.g. ``"open"``; empty when unknown.
        retryable: whether trying again may help.
    """

    def __init__(self, text: str, *, operation: str = "", retryable: bool = False) -> None:
        super().__init__(text)
        self.operation = operation
        self.retryable = retryable


class RegistrationError(DuroxideError, ValueError):
    """A function, name or version that cannot be registered, or not any more."""


class RuntimeStateError(DuroxideError, RuntimeError):
    """A call at the wrong time: a second start, use after shutdown, use after a fork."""


class ConfigurationError(DuroxideError, ValueError):
    """An option that is out of its range or contradicts another one."""


class CodecError(DuroxideError, ValueError):
    """A payload that was stored by a codec which is not the one here, or has another key. Nothing is changed by it."""


class OrchestrationError(DuroxideError):
    """A failure as orchestrations and the ``*_typed`` waits of clients see it; ``str(e)`` is its text.

    Attributes:
        location: ``file:line`` of the workflow where it failed, as clients are told; empty when unknown, and where the
            error is caught in a workflow.
    """

    location: str = ""


class ActivityError(OrchestrationError):
    """An activity that raised, or returned something that is not JSON.

    The text is ``Activity '{name}' call failed: {type}: {message}``.

    Attributes:
        activity_name: name under which the activity was scheduled.
        original_type: name of the exception's class; empty when there was none.
        original_traceback: its traceback as text; empty when there was none.
        attempt: which attempt of a retry policy failed, from 1.
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
    """An activity that ran out of time; the text is ``timeout: activity timed out``."""


class SubOrchestrationError(OrchestrationError):
    """A child that failed; the text is that of its own failure.

    Attributes:
        instance_id: id of the child.
    """

    def __init__(self, text: str, *, instance_id: str = "") -> None:
        super().__init__(text)
        self.instance_id = instance_id


class Cancelled(OrchestrationError):
    """An instance that was cancelled; the text is ``canceled: {reason}``.

    What a parent catches for a cancelled child is a SubOrchestrationError as well.
    """


class _CancelledChild(SubOrchestrationError, Cancelled):
    """A child that was cancelled, as its parent sees it."""


class NondeterminismError(OrchestrationError):
    """Code that did not repeat what its history recorded; the text begins ``nondeterministic:``."""


class NonRetryableError(Exception):
    """Raise it in an activity to fail for good: no retry policy tries again."""


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
