"""Runs every Python block of the user guide as it stands.

What a block leaves undefined (activities that it calls, an input, `requests`) a prelude provides;
nothing in the block is changed. The guide is not part of this repository: where it is not to be
found, these tests are skipped, and the tests beside this file still cover each of its sections.
"""

from __future__ import annotations

import json
import pathlib
import threading
import time
from types import SimpleNamespace
from typing import Any, Callable

import pytest

import duroxide
from guide_blocks import BLOCKS, GUIDE, SCENARIOS, Guide, StartingClient, scenario
from harness import WAIT_MS, Engine, eventually

pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason=f"the guide is not at {GUIDE}")


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_block_runs_as_it_stands(
    block: str,
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    assert block in SCENARIOS, "the guide has a block that no scenario runs"
    monkeypatch.chdir(tmp_path)
    guide = Guide(engine, BLOCKS[block], capsys, request.getfixturevalue)
    try:
        SCENARIOS[block](guide)
    finally:
        made = guide.names.get("runtime")
        if isinstance(made, duroxide.Runtime) and made is not guide.runtime:
            made.shutdown()
        other = guide.names.get("provider")
        if isinstance(other, (duroxide.SqliteProvider, duroxide.PostgresProvider)) and other is not engine.provider:
            guide.runtime.shutdown()
            other.close()


def test_every_scenario_has_its_block() -> None:
    assert set(SCENARIOS) == set(BLOCKS)


@scenario("Minimal Example#1")
def minimal(g: Guide) -> None:
    g.execute()
    assert g.printed() == ["Hello, World!"]


@scenario("Sequential Steps#1")
def sequential(g: Guide) -> None:
    g.activity("Extract", lambda x: [x])
    g.activity("Transform", lambda x: x * 2)
    g.activity("Load", len)
    g.execute()
    g.runtime.start()
    assert g.run("Pipeline", "row") == 2
    assert g.calls == [("Extract", "row"), ("Transform", ["row"]), ("Load", ["row", "row"])]


@scenario("Fan-Out / Fan-In#1")
def fan_out(g: Guide) -> None:
    g.activity("ProcessItem", lambda x: x * x)
    g.execute()
    g.runtime.start()
    assert g.run("FanOut", {"items": [3, 1, 2]}) == [{"ok": 9}, {"ok": 1}, {"ok": 4}]
    assert g.run("FanOut", {"items": []}) == []


@scenario("Fan-Out / Fan-In#2")
def mixed_all(g: Guide) -> None:
    g.activity("Work", lambda x: x + "!")
    g.execute()
    g.runtime.start()
    instance = g.engine.start("MixedAll", "in")
    g.engine.recorded(instance, "ExternalSubscribed")
    g.client.raise_event(instance, "approval", {"by": "me"})
    assert g.engine.output(instance) == {"ok": "in!"}


@scenario("Race / Select#1")
def race(g: Guide) -> None:
    g.activity("FastService", lambda x: x + 1)
    g.execute()
    g.runtime.start()
    assert g.run("RaceExample", 1) == 2


@scenario("Durable Timers#1")
def durable_timer(g: Guide) -> None:
    g.activity("SendReminder")
    g.execute()
    g.runtime.start()
    instance = g.engine.start("DelayedNotification", {})
    g.engine.recorded(instance, "TimerCreated")
    assert g.client.get_status(instance).status == "Running"
    assert g.client.get_queue_depths().timer_queue == 1
    created = next(e for e in g.engine.events(instance) if e.kind == "TimerCreated")
    due = json.loads(created.data)["fireAtMs"]
    assert 3_590_000 < due - time.time() * 1000 < 3_600_500
    assert g.calls == []


@scenario("External Events#1")
def approval(g: Guide) -> None:
    g.activity("RequestApproval")
    g.activity("Execute")
    g.execute()  # raises the event at an id that does not exist: nothing happens
    g.runtime.start()
    for approved, answer in ((True, "approved"), (False, "rejected")):
        instance = g.engine.start("ApprovalWorkflow", {"x": 1})
        g.engine.recorded(instance, "ExternalSubscribed")
        g.client.raise_event(instance, "approval", {"approved": approved})
        assert g.engine.output(instance) == answer
    assert [name for name, _ in g.calls] == ["RequestApproval", "Execute", "RequestApproval"]
    assert g.client.get_status("instance-1").status == "NotFound"


@scenario("Sub-Orchestrations#1")
def sub_orchestrations(g: Guide) -> None:
    g.activity("DoWork", lambda x: x * 10)
    g.execute()
    g.runtime.start()
    instance = g.engine.start("Parent", 4)
    assert g.engine.output(instance) == {"parent_result": 40}
    assert g.client.get_instance_tree(instance).size == 2


@scenario("Sub-Orchestrations#2")
def sub_orchestration_with_id(g: Guide) -> None:
    g.execute_in_orchestration("Piece")
    g.runtime.register_orchestration("Child", lambda ctx, input: input["id"] + 1)
    g.runtime.start()
    assert g.run("Piece", {"id": 6}) == 7
    assert g.client.get_status("child-6").output == 7


@scenario("Fire-and-Forget Orchestrations#1")
def fire_and_forget(g: Guide) -> None:
    g.activity("ProvisionVM")
    g.runtime.register_orchestration("InstanceMonitor", lambda ctx, input: input["instance_id"])
    g.execute()
    g.runtime.start()
    assert g.run("CreateInstance", {"instance_id": "vm1"}) == {"status": "provisioned"}
    assert g.engine.output("monitor-vm1") == "vm1"
    assert g.client.get_instance_info("monitor-vm1").parent_instance_id is None


@scenario("Continue-as-New (Eternal Orchestrations)#1")
def eternal(g: Guide) -> None:
    g.activity("CheckHealth", lambda target: {"status": target + " is well"})
    g.execute()
    g.runtime.start()
    instance = g.engine.start("Monitor", {"target": "db"})
    g.engine.recorded(instance, "TimerCreated")
    g.engine.logs.wait_for("health check #0: db is well", "duroxide.orchestration")
    # The rest of the generator, stepped by hand: what it continues with.
    ctx = duroxide.OrchestrationContext({"instanceId": "x", "executionId": 1})
    steps = g.names["monitor"](ctx, {"target": "db"})
    assert next(steps)["type"] == "activity"
    assert steps.send({"status": "well"})["type"] == "timer"
    assert steps.send(None)["type"] == "continueAsNew"


@scenario("Error Handling#1")
def error_handling(g: Guide) -> None:
    def risky(input: Any) -> Any:
        if input == "bad":
            raise ValueError("no luck")
        return input

    g.activity("RiskyCall", risky)
    g.activity("Cleanup")
    g.execute()
    g.runtime.start()
    text = "Activity 'RiskyCall' call failed: ValueError: no luck"
    assert g.run("SafeWorkflow", "good") == "good"
    assert g.run("SafeWorkflow", "bad") == {"status": "failed", "error": text}
    assert g.calls[-1] == ("Cleanup", {"error": text})


@scenario("Retry Policies#1")
def retry_policies(g: Guide) -> None:
    def flakey(input: Any) -> Any:
        if len(g.calls) < 3:
            raise RuntimeError("again")
        return len(g.calls)

    g.activity("FlakeyApi", flakey)
    g.execute_in_orchestration("Piece")
    g.runtime.start()
    assert g.run("Piece", "x") == 3


@scenario("Scheduling a Session Activity#1")
def session_activity(g: Guide) -> None:
    @g.runtime.register_activity("ProcessData")
    def process(ctx: Any, input: Any) -> Any:
        return [ctx.session_id, threading.get_ident()]

    g.execute()
    g.runtime.start()
    first, second = g.run("SessionWorkflow", 1)
    assert first == second
    assert first[0] == "my-session-1"


@scenario("Reading Session ID in an Activity#1")
def reading_session_id(g: Guide) -> None:
    g.execute()

    @g.runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        yield ctx.schedule_activity("MyActivity", 1)
        return (yield ctx.schedule_activity_on_session("MyActivity", 2, "s-9"))

    g.runtime.start()
    assert g.run("W") == 2
    assert g.printed() == ["No session (regular activity)", "Running in session: s-9"]


@scenario("Session Runtime Options#1")
def session_options(g: Guide) -> None:
    g.execute()
    runtime = g.names["runtime"]
    assert runtime is not g.runtime
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    assert g.run("Now", 5) == 5


@scenario("Complete Example#1")
def complete_example(g: Guide) -> None:
    g.execute()
    assert g.printed() == ["['a', 'b', 'c']"]
    assert g.names["session_state"] == {"batch-001": ["a", "b", "c"]}


@scenario("Setting Custom Status#1")
def setting_status(g: Guide) -> None:
    at: dict[str, Any] = {}

    def seen(name: str, result: Any = None) -> Callable[[Any], Any]:
        def read(input: Any) -> Any:
            at[name] = g.client.get_status("prov").custom_status
            return result

        return read

    g.activity("ValidateConfig", seen("ValidateConfig"))
    g.activity("CreateVM", seen("CreateVM", {"id": "vm-1"}))
    g.activity("InstallSoftware", seen("InstallSoftware"))
    g.execute()
    g.runtime.start()
    assert g.run("ProvisionServer", {}, "prov") == {"vm_id": "vm-1"}
    assert at == {
        "ValidateConfig": "validating configuration",
        "CreateVM": "creating VM",
        "InstallSoftware": "installing software",
    }
    status = g.client.get_status("prov")
    assert (status.custom_status, status.custom_status_version) == (None, 4)


@scenario("Polling for Status Changes#1")
def polling_for_status(g: Guide) -> None:
    shown = threading.Semaphore(0)

    class Shown:
        """A print that lets the orchestration go on once a status has been shown."""

        def __call__(self, *args: Any) -> None:
            print(*args)
            shown.release()

    def wait(ctx: Any, input: Any) -> None:
        assert shown.acquire(timeout=WAIT_MS / 1000)

    g.runtime.register_activity("Shown", wait)

    @g.runtime.register_orchestration("ProvisionServer")
    def provision(ctx: Any, input: Any) -> Any:
        for step in input["steps"]:
            ctx.set_custom_status(step)
            yield ctx.schedule_activity("Shown")
        return "done"

    g.runtime.start()
    g.names["config"] = {"steps": ["one", "two", "three"]}
    g.names["print"] = Shown()
    before = time.monotonic()
    g.execute()
    assert time.monotonic() - before < 20, "the loop must end with the instance, not by its time-out"
    assert g.printed() == ["Status: one", "Status: two", "Status: three"]
    assert g.engine.output("prov-1") == "done"


@scenario("Dequeuing Events in Orchestrations#1")
def dequeuing(g: Guide) -> None:
    g.activity("ProcessRequest", lambda request: request["n"] + 1)
    g.execute()
    g.runtime.start()
    instance = g.engine.start("RequestProcessor")
    g.client.enqueue_event(instance, "requests", json.dumps({"n": 1}))
    assert g.engine.output(instance) == 2


@scenario("Enqueuing Events from Clients#1")
def enqueuing(g: Guide) -> None:
    @g.runtime.register_orchestration("Reader")
    def reader(ctx: Any, input: Any) -> Any:
        return json.loads((yield ctx.dequeue_event("requests")))

    g.runtime.start()
    g.engine.start("Reader", None, "proc-1")
    g.execute()
    assert g.engine.output("proc-1") == {"action": "process", "data": {"id": 42}}


@scenario("Multiple Queues#1")
def multiple_queues(g: Guide) -> None:
    g.execute()
    g.runtime.start()
    instance = g.engine.start("MultiQueue")
    g.client.enqueue_event(instance, "config", "c")
    g.client.enqueue_event(instance, "commands", "go")
    assert g.engine.output(instance) == {"command": "go", "config": "c"}


@scenario("Retry on Session — Retry with Session Affinity#1")
def retry_on_session(g: Guide) -> None:
    ran: list[Any] = []

    @g.runtime.register_activity("FlakeyGpuTask")
    def flakey(ctx: Any, input: Any) -> Any:
        ran.append((ctx.session_id, threading.get_ident()))
        if len(ran) < 3:
            raise RuntimeError("not yet")
        return input

    g.execute()
    g.runtime.start()
    assert g.run("RetrySessionWorkflow", "in") == "in"
    assert len(ran) == 3
    assert len(set(ran)) == 1
    assert ran[0][0] == "gpu-session-1"


@scenario("Real-World Example: Copilot Chat Bot#1")
def chat_bot(g: Guide) -> None:
    g.names["client"] = StartingClient(g.engine.provider, g.runtime)
    g.execute()
    assert g.printed() == ["Echo: Hello!"]
    assert g.engine.output("chat-1") == "Done after 2 msgs"
    reply = json.loads(g.client.get_status("chat-1").custom_status)
    assert reply == {"state": "replied", "response": "Echo: Bye!", "seq": 2}
    assert g.client.list_executions("chat-1") == [1, 2]


@scenario("Basic Activity#1")
def basic_activity(g: Guide) -> None:
    g.execute()
    one_activity(g, "SendEmail")
    assert g.run("One", {"to": "ann"}) == {"sent": True}
    g.engine.logs.wait_for("sending to ann", "duroxide.activity")


def one_activity(g: Guide, name: str) -> None:
    @g.runtime.register_orchestration("One")
    def one(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity(name, input))

    g.runtime.start()


@scenario("Activity with Client Access#1")
def client_access(g: Guide) -> None:
    g.execute()
    g.runtime.register_orchestration("CleanupWorkflow", lambda ctx, input: input)
    one_activity(g, "TriggerCleanup")
    assert g.run("One", {"id": 7}) == {"triggered": True}
    assert g.engine.output("cleanup-7") == {"resource_id": 7}


@scenario("Returning Errors#1")
def returning_errors(g: Guide) -> None:
    g.execute()
    one_activity(g, "ValidateInput")
    assert g.run("One", {"email": "a@b"}) == {"valid": True}
    error = g.engine.error(g.engine.start("One", {}))
    assert "Activity 'ValidateInput' call failed: Exception: email is required" in error


@scenario("Cooperative Cancellation#1")
def cooperative_cancellation(g: Guide) -> None:
    g.execute()

    @g.runtime.register_orchestration("Loser")
    def loser(ctx: Any, input: Any) -> Any:
        return (yield ctx.race(ctx.schedule_activity("LongRunning"), ctx.schedule_timer(100)))["index"]

    g.runtime.start()
    assert g.run("Loser") == 1
    g.engine.logs.wait_for("cancelled, cleaning up", "duroxide.activity")


@scenario("Orchestration Tracing#1")
def orchestration_tracing(g: Guide) -> None:
    g.activity("Work", "ok")
    g.execute()
    g.runtime.start()
    assert g.run("Traced", "in") == "ok"
    g.engine.logs.wait_for("[v1.0.0] completed: ok")
    messages = [m for m in g.engine.logs.messages("duroxide.orchestration") if "v1.0.0" in m or "input:" in m]
    assert len(messages) == 3, messages
    for part, message in zip(("starting workflow", "input: in", "completed: ok"), messages):
        assert part in message


@scenario("Activity Tracing#1")
def activity_tracing(g: Guide) -> None:
    answer = SimpleNamespace(json=lambda: [1, 2, 3])
    g.names["requests"] = SimpleNamespace(get=lambda url: answer)
    g.execute()
    one_activity(g, "FetchData")
    assert g.run("One", {"id": 1, "url": "http://x"}) == [1, 2, 3]
    g.engine.logs.wait_for("fetching data for 1", "duroxide.activity")
    g.engine.logs.wait_for("got 3 records", "duroxide.activity")


@scenario("SQLite#1")
def sqlite(g: Guide) -> None:
    opened = []

    class Kept:
        """Keeps each provider that the block opens, so that all are closed."""

        @staticmethod
        def open(path: Any) -> Any:
            opened.append(duroxide.SqliteProvider.open(path))
            return opened[-1]

        @staticmethod
        def in_memory() -> Any:
            opened.append(duroxide.SqliteProvider.in_memory())
            return opened[-1]

    g.names["SqliteProvider"] = Kept
    g.execute()
    assert pathlib.Path("myapp.db").exists()
    for provider in opened:
        assert duroxide.Client(provider).list_all_instances() == []
        provider.close()


@scenario("PostgreSQL#1")
def postgres(g: Guide) -> None:
    server = g.fixture("guide_server")
    opened = []

    def here(url: str) -> str:
        assert url == "postgresql://user:pass@host:5432/mydb"
        return url.replace("host:5432", f"127.0.0.1:{server.port}")

    class Here:
        """Stands for a machine that is called `host`; keeps each provider that the block opens."""

        @staticmethod
        def connect(url: str) -> Any:
            opened.append(duroxide.PostgresProvider.connect(here(url)))
            return opened[-1]

        @staticmethod
        def connect_with_schema(url: str, schema: str) -> Any:
            opened.append(duroxide.PostgresProvider.connect_with_schema(here(url), schema))
            return opened[-1]

    g.names["PostgresProvider"] = Here
    g.execute()
    database = f"127.0.0.1:{server.port}/mydb"
    assert [repr(p) for p in opened] == [
        f"<PostgresProvider postgres {database}>",
        f"<PostgresProvider postgres {database} schema duroxide_app>",
    ]
    for n, provider in enumerate(opened):
        client = duroxide.Client(provider)
        client.start_orchestration(f"{g.engine.options}-{n}", "W", if_exists="restart_if_ended")
        others = [i for i in client.list_all_instances() if not i.endswith(f"-{n}")]
        assert others == [], "schemas are stores of their own"
        provider.close()


@scenario("Runtime Options#1")
def runtime_options(g: Guide) -> None:
    g.execute()
    runtime = g.names["runtime"]
    runtime.register_orchestration("Now", lambda ctx, input: input)
    runtime.start()
    assert g.run("Now", 5) == 5


@scenario("Metrics#1")
def metrics(g: Guide) -> None:
    g.execute()  # before start there is no snapshot, and nothing is printed
    assert g.printed() == []
    g.activity("Work", 1)

    @g.runtime.register_orchestration("W")
    def workflow(ctx: Any, input: Any) -> Any:
        return (yield ctx.schedule_activity("Work"))

    g.runtime.start()
    g.run("W")
    g.run("W")
    eventually(lambda: g.runtime.metrics_snapshot()["orch_completions"] == 2)
    g.execute()
    assert g.printed() == [
        "Orchestrations started: 2",
        "Orchestrations completed: 2",
        "Activity successes: 2",
        "Provider errors: 0",
    ]


@scenario("Client Operations#1")
def client_operations(g: Guide) -> None:
    @g.runtime.register_orchestration("WorkflowName")
    def workflow(ctx: Any, input: Any) -> Any:
        ctx.set_custom_status("half")
        yield ctx.schedule_timer(1)
        return input

    g.runtime.register_orchestration_versioned("WorkflowName", "1.0.2", workflow)
    g.runtime.start()
    g.names.update(
        input_data={"a": 1},
        event_data={},
        data_string="d",
        last_seen_version=0,
        poll_interval_ms=50,
        timeout_ms=1000,
    )
    g.execute()
    assert g.names["result"].output == {"a": 1}
    assert g.names["status"].status == "Completed"
    assert g.names["metrics"].total_instances == 0, "it was deleted"
    depths = g.names["depths"]
    assert (depths.orchestrator_queue, depths.worker_queue, depths.timer_queue) == (0, 0, 0)


@scenario("Versioning#1")
def versioning(g: Guide) -> None:
    g.activity("Work", lambda x: x)
    g.activity("Validate")
    g.execute()
    g.runtime.start()
    assert g.run("MyWorkflow", 1, "new") == 1
    assert [name for name, _ in g.calls] == ["Validate", "Work"]
    assert g.client.get_instance_info("new").orchestration_version == "1.0.1"
    g.client.start_orchestration_versioned("old", "MyWorkflow", 2, "1.0.0")
    assert g.engine.output("old") == 2
    assert [name for name, _ in g.calls] == ["Validate", "Work", "Work"]


@scenario("Multi-Step Parallel Blocks (Sub-Orchestration Pattern)#1")
def multi_step(g: Guide) -> None:
    g.activity("Step", lambda name: f"step-{name}")
    g.execute()
    g.runtime.start()
    a, b = "A:[step-A1,step-A2]", "B:[timer,step-B1]"
    assert g.run("Parent") == f"{{'ok': {a!r}}},{{'ok': {b!r}}}"
