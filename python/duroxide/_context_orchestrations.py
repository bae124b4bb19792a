"""The calls of an orchestration's context that run, start and continue orchestrations."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Callable, NoReturn, Optional, TypeVar, Union, overload

from duroxide import _frames
from duroxide._codec import identifier, semver
from duroxide._frames import Extras
from duroxide._names import Name
from duroxide._scheduling import Scheduling, other_instance
from duroxide._tasks import ScheduledTask

I = TypeVar("I")  # noqa: E741 - an input
R = TypeVar("R")
# What a plain function may give, so that a generator function is not taken for one.
J = TypeVar("J", bound=Union[float, Sequence[Any], Mapping[str, Any], None])


class OrchestrationCalls(Scheduling):
    """The part of an orchestration's context that has to do with other orchestrations."""

    __slots__ = ()

    @overload
    def schedule_sub_orchestration(
        self, name: Callable[[Any, I], Generator[Any, Any, R]], input: I
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration(self, name: Callable[[Any, I], J], input: I) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration(self, name: Callable[[Any, None], Generator[Any, Any, R]]) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration(self, name: Callable[[Any, None], J]) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration(self, name: str, input: Any = None) -> ScheduledTask[Any]: ...
    def schedule_sub_orchestration(self, name: Name, input: Any = None) -> ScheduledTask[Any]:
        """Run a child and wait for it. Yields back its output.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            input (JSON value): what it gets; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name that is not valid, or a function that is not registered (at the call).
            SubOrchestrationError: the child failed (at the yield); the text is that of its failure.
            Cancelled: the child was cancelled (at the yield).

        Example:
            >>> def flow(ctx, amounts):
            ...     orders = [ctx.schedule_sub_orchestration(order, amount) for amount in amounts]
            ...     return (yield ctx.all_typed(orders))
            >>> run(flow, [10, 20, 30])
            [10, 20, 30]
        """
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration")

    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, I], Generator[Any, Any, R]], instance_id: str, input: I
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, I], J], instance_id: str, input: I
    ) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, None], Generator[Any, Any, R]], instance_id: str
    ) -> ScheduledTask[R]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: Callable[[Any, None], J], instance_id: str
    ) -> ScheduledTask[J]: ...
    @overload
    def schedule_sub_orchestration_with_id(
        self, name: str, instance_id: str, input: Any = None
    ) -> ScheduledTask[Any]: ...
    def schedule_sub_orchestration_with_id(self, name: Name, instance_id: str, input: Any = None) -> ScheduledTask[Any]:
        """schedule_sub_orchestration under an id of your own. An id that is in use fails the call.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            instance_id (str): the id it gets, at most 1,024 bytes in UTF-8.
            input (JSON value): what it gets; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or id that is not valid, or a function that is not registered (at the call).
            SubOrchestrationError: the child failed, or the id is in use (at the yield).
            Cancelled: the child was cancelled (at the yield).

        Example:
            >>> def flow(ctx, amount):
            ...     return (yield ctx.schedule_sub_orchestration_with_id(order, f"{ctx.instance_id}-order", amount))
            >>> id = start(flow, 10)
            >>> client.wait_for_orchestration(f"{id}-order").output
            10
        """
        extras = Extras(instance=identifier(instance_id, "instance_id"))
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_with_id", extras)

    def schedule_sub_orchestration_versioned(
        self, name: Name, version: Optional[str] = None, input: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            version (str or None): a semantic version; None (default): the latest when it starts.
            input (JSON value): what it gets; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name that is not valid, or a version that is not semantic (at the call).
            SubOrchestrationError: the child failed (at the yield); the text is that of its failure.
            Cancelled: the child was cancelled (at the yield).

        Example:
            >>> def flow(ctx, name):
            ...     return (yield ctx.schedule_sub_orchestration_versioned("hello", "1.0.0", name))
            >>> run(flow, "Ada")
            'Hello, Ada!'
        """
        extras = Extras(version=None if version is None else semver(version))
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_versioned", extras)

    def schedule_sub_orchestration_versioned_with_id(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version and under an id of your own. An id that is in use fails the call.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            version (str or None): a semantic version; None: the latest when it starts.
            instance_id (str): the id it gets, at most 1,024 bytes in UTF-8.
            input (JSON value): what it gets; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or id that is not valid, or a version that is not semantic (at the call).
            SubOrchestrationError: the child failed, or the id is in use (at the yield).
            Cancelled: the child was cancelled (at the yield).

        Example:
            >>> def flow(ctx, name):
            ...     child = f"{ctx.instance_id}-hello"
            ...     return (yield ctx.schedule_sub_orchestration_versioned_with_id("hello", "1.0.0", child, name))
            >>> run(flow, "Ada")
            'Hello, Ada!'
        """
        extras = other_instance(version, instance_id)
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_versioned_with_id", extras)

    def start_orchestration(self, name: Name, instance_id: str, input: Any = None) -> ScheduledTask[None]:
        """Start an orchestration that goes its own way. Yields back None; an id in use starts nothing.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            instance_id (str): the id it gets, at most 1,024 bytes in UTF-8.
            input (JSON value): what it gets; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or id that is not valid, or a function that is not registered (at the call).

        Example:
            >>> def flow(ctx, amount):
            ...     yield ctx.start_orchestration(order, "detached-1", amount)
            >>> run(flow, 10)
            >>> client.wait_for_orchestration("detached-1").output
            10
        """
        return self._call(_frames.T_DETACHED, name, input, "start_orchestration", other_instance(None, instance_id))

    def start_orchestration_versioned(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[None]:
        """start_orchestration of one version.

        Args:
            name (str or function): name of the orchestration, or the registered function.
            version (str or None): a semantic version; None: the latest when it starts.
            instance_id (str): the id it gets, at most 1,024 bytes in UTF-8.
            input (JSON value): what it gets; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a name or id that is not valid, or a version that is not semantic (at the call).

        Example:
            >>> def flow(ctx, name):
            ...     yield ctx.start_orchestration_versioned("hello", "1.0.0", "detached-2", name)
            >>> run(flow, "Ada")
            >>> client.wait_for_orchestration("detached-2").output
            'Hello, Ada!'
        """
        return self._call(
            _frames.T_DETACHED, name, input, "start_orchestration_versioned", other_instance(version, instance_id)
        )

    def continue_as_new(self, input: Any = None) -> ScheduledTask[NoReturn]:
        """End this execution and begin the next one with ``input`` and an empty history.

        Custom status, KV values and queued messages are kept. Code behind the yield never runs. Not a member of all or
        race.

        Args:
            input (JSON value): what the next execution gets; default None.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).

        Example:
            >>> def flow(ctx, pages_left):
            ...     if pages_left > 0:
            ...         yield ctx.continue_as_new(pages_left - 1)
            ...     return ctx.execution_id
            >>> run(flow, 3)
            4
        """
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new")

    def continue_as_new_versioned(self, input: Any, version: Optional[str] = None) -> ScheduledTask[NoReturn]:
        """continue_as_new into one version.

        Args:
            input (JSON value): what the next execution gets.
            version (str or None): a semantic version; None (default): the latest.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            InvalidArgument: a version that is not semantic (at the call).

        Example:
            >>> def flow(ctx, pages_left):
            ...     if pages_left > 0:
            ...         yield ctx.continue_as_new_versioned(pages_left - 1, "1.0.0")
            ...     return ctx.execution_id
            >>> run(flow, 3)
            4
        """
        extras = Extras(version=None if version is None else semver(version))
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new_versioned", extras)
