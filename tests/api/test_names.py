"""A function given for a name: what it stands for inside orchestrations, and for clients."""

from __future__ import annotations

import functools
import gc
import weakref
from typing import Any

import pytest

import duroxide
from harness import Engine


def new_function(name: str = "work") -> Any:
    """A function that no other test has registered."""

    def function(ctx: Any, input: Any) -> Any:
        return [ctx.activity_name, input]

    function.__name__ = name
    return function


def new_orchestration(activity: Any = None) -> Any:
    def flow(ctx: Any, input: Any) -> Any:
        if activity is None:
            return (yield ctx.utc_now()) and ctx.orchestration_name
        return (yield ctx.schedule_activity(activity, input))

    return flow


def test_orchestration_schedules_by_the_names_of_its_own_runtime(file_engine: Engine) -> None:
    work = new_function()
    one, two = file_engine.runtime(), file_engine.runtime()
    one.register_activity("Work", work)
    one.register_orchestration("One", new_orchestration(work))
    two.register_activity("Other", work)
    two.register_orchestration("Two", new_orchestration(work))
    one.start()
    two.start()
    assert file_engine.run("One", 1) == ["Work", 1]
    assert file_engine.run("Two", 2) == ["Other", 2]
    one.shutdown()
    two.shutdown()


def test_children_are_named_by_the_own_runtime_too(memory: Engine) -> None:
    child = new_orchestration()

    def parent(ctx: Any, input: Any) -> Any:
        yield ctx.start_orchestration(child, "detached")
        return (yield ctx.schedule_sub_orchestration(child))

    runtime = memory.runtime()
    runtime.register_orchestration("Child", child)
    runtime.register_orchestration("Parent", parent)
    duroxide.Runtime(memory.provider).register_orchestration("Elsewhere", child)
    runtime.start()
    assert memory.run("Parent") == "Child"
    assert memory.output("detached") == "Child"


def test_function_is_an_activity_by_one_name_and_an_orchestration_by_another(memory: Engine) -> None:
    def plain(ctx: Any, input: Any) -> Any:
        return getattr(ctx, "activity_name", None) or ctx.orchestration_name

    def both(ctx: Any, input: Any) -> Any:
        return [(yield ctx.schedule_activity(plain)), (yield ctx.schedule_sub_orchestration(plain))]

    runtime = memory.runtime()
    runtime.register_activity("Activity", plain)
    runtime.register_orchestration("Orchestration", plain)
    runtime.register_orchestration("Both", both)
    runtime.start()
    assert memory.run("Both") == ["Activity", "Orchestration"]
    memory.client.start_orchestration("i", plain)
    assert memory.output("i") == "Orchestration"


class Shop:
    def work(self, ctx: Any, input: Any) -> Any:
        return [ctx.activity_name, input]

    def flow(self, ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity(self.work, input))


class Callable:
    """Compares by value, so that it cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __call__(self, ctx: Any, input: Any) -> Any:
        return ctx.activity_name


def test_methods_partials_and_callable_objects_stand_for_their_names(memory: Engine) -> None:
    shop, other = Shop(), Shop()
    partial = functools.partial(lambda more, ctx, input: ctx.activity_name + more, "!")

    def flow(ctx: Any, input: Any) -> Any:
        found = yield ctx.all_typed([ctx.schedule_activity(f, 1) for f in (shop.work, other.work, partial)])
        try:
            yield ctx.schedule_activity(Callable())
        except duroxide.InvalidArgument as e:
            return [*found, str(e)]

    runtime = memory.runtime()
    runtime.register_activity("Work", shop.work)
    runtime.register_activity("Other", other.work)
    runtime.register_activity("Partial", partial)
    runtime.register_activity("Callable", Callable())
    runtime.register_orchestration("W", flow)
    runtime.register_orchestration("Flow", shop.flow)
    runtime.start()
    assert memory.run("W") == [
        ["Work", 1],
        ["Other", 1],
        "Partial!",
        "Invalid input: name of the activity: function Callable is not registered in this runtime",
    ]
    memory.client.start_orchestration("i", shop.flow, 2)
    assert memory.output("i") == ["Work", 2]
    with pytest.raises(duroxide.InvalidArgument, match="function flow is not registered"):
        memory.client.start_orchestration("j", other.flow)


def test_function_of_another_runtime_only_is_not_known(memory: Engine) -> None:
    work = new_function()
    duroxide.Runtime(memory.provider).register_activity("Work", work)
    runtime = memory.runtime()
    runtime.register_orchestration("W", new_orchestration(work))
    runtime.start()
    error = memory.error(memory.start("W"))
    assert "name of the activity: function work is not registered in this runtime" in error


def test_function_under_two_names_of_a_runtime_is_neither(memory: Engine) -> None:
    work = new_function()
    runtime = memory.runtime()
    runtime.register_activity("B", work)
    runtime.register_activity("A", work)

    @runtime.register_orchestration("W")
    def flow(ctx: Any, input: Any) -> Any:
        try:
            yield ctx.schedule_activity(work)
        except duroxide.InvalidArgument as e:
            return [str(e), (yield ctx.schedule_activity("A", 1))]

    runtime.start()
    assert memory.run("W") == [
        "Invalid input: name of the activity: function work is registered under several names in this runtime "
        "('A', 'B'): give the name as text",
        ["A", 1],
    ]


def test_client_takes_a_function_that_has_one_name_in_the_process(memory: Engine) -> None:
    flow = new_orchestration()
    with pytest.raises(duroxide.InvalidArgument, match="function flow is not registered in this process"):
        memory.client.start_orchestration("i", flow)
    runtime = memory.runtime()
    runtime.register_orchestration("Flow", flow)
    runtime.register_orchestration_versioned("Flow", "1.1.0", flow)
    duroxide.Runtime(memory.provider).register_orchestration("Flow", flow)
    runtime.start()
    memory.client.start_orchestration("i", flow)
    assert memory.output("i") == "Flow"
    assert [info.instance_id for info in memory.client.list_instances(name=flow).items] == ["i"]
    duroxide.Runtime(memory.provider).register_orchestration("Elsewhere", flow)
    text = (
        "Invalid input: name of the orchestration: function flow is registered under several names in this process "
        "('Elsewhere', 'Flow'): give the name as text"
    )
    for call in (
        lambda: memory.client.start_orchestration("j", flow),
        lambda: memory.client.list_instances(name=flow),
    ):
        with pytest.raises(duroxide.InvalidArgument) as caught:
            call()
        assert str(caught.value) == text


def test_registration_keeps_no_function_alive(memory: Engine) -> None:
    flow, shop = new_orchestration(), Shop()
    runtime = duroxide.Runtime(memory.provider)
    runtime.register_orchestration("Flow", flow)
    runtime.register_orchestration("Method", shop.flow)
    gone = [weakref.ref(flow), weakref.ref(shop)]
    del flow, shop, runtime
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
