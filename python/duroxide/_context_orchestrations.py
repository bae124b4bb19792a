"""The calls of an orchestration's context that run, start and continue orchestrations."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Callable, NoReturn, Optional, TypeVar, Union, overload

from duroxide import _frames
from duroxide._codec import identifier, semver
from duroxide._frames import Extras
from duroxide._scheduling import Name, Scheduling, other_instance
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
            name: name of the orchestration, or the registered function.
            input: anything JSON takes.

        Raises:
            TypeError, ValueError: the input is not JSON (at the call).
            SubOrchestrationError: the child failed (at the yield); the text is that of its failure.
            Cancelled: the child was cancelled (at the yield).
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
        """schedule_sub_orchestration under an id of your own. An id that is in use fails the call."""
        extras = Extras(instance=identifier(instance_id, "instance_id"))
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_with_id", extras)

    def schedule_sub_orchestration_versioned(
        self, name: Name, version: Optional[str] = None, input: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version; None = the latest when the child starts.

        Raises:
            InvalidArgument: the version is not a semantic version (at the call).
        """
        extras = Extras(version=None if version is None else semver(version))
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_versioned", extras)

    def schedule_sub_orchestration_versioned_with_id(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[Any]:
        """schedule_sub_orchestration of one version and under an id of your own."""
        extras = other_instance(version, instance_id)
        return self._call(_frames.T_CHILD, name, input, "schedule_sub_orchestration_versioned_with_id", extras)

    def start_orchestration(self, name: Name, instance_id: str, input: Any = None) -> ScheduledTask[None]:
        """Start an orchestration that goes its own way. Yields back None; an id in use starts nothing."""
        return self._call(_frames.T_DETACHED, name, input, "start_orchestration", other_instance(None, instance_id))

    def start_orchestration_versioned(
        self, name: Name, version: Optional[str], instance_id: str, input: Any = None
    ) -> ScheduledTask[None]:
        """start_orchestration of one version; None = the latest."""
        return self._call(
            _frames.T_DETACHED, name, input, "start_orchestration_versioned", other_instance(version, instance_id)
        )

    def continue_as_new(self, input: Any = None) -> ScheduledTask[NoReturn]:
        """End this execution and begin the next one with ``input`` and an empty history.

        Custom status, KV values and queued messages are kept. Code behind the yield never runs. Not a member of
        all or race.
        """
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new")

    def continue_as_new_versioned(self, input: Any, version: Optional[str] = None) -> ScheduledTask[NoReturn]:
        """continue_as_new into one version; None = the latest."""
        extras = Extras(version=None if version is None else semver(version))
        return self._call(_frames.T_CONTINUE_AS_NEW, None, input, "continue_as_new_versioned", extras)
