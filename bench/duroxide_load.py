"""The workloads for engines with the Python API of duroxide: this package and `duroxide` 0.2.2.

    python duroxide_load.py WORKLOAD WHERE COUNT

WHERE is a folder for a SQLite file, or the URL of a PostgreSQL database. Prints one line of
JSON with the figures of the workload; times are in seconds. Uses only what both engines have,
with the defaults of both.
"""

import json
import sys
import time

from duroxide import Client, PostgresProvider, PyRuntimeOptions, Runtime, SqliteProvider

HOUR_MS = 3_600_000
WARM_UP = 10  # workflows before the first that is timed, with all systems


def noop(ctx, input):
    return input


def hello(ctx, input):
    greeting = yield ctx.schedule_activity("Noop", input)
    return greeting


def sequence(ctx, count):
    for number in range(count):
        yield ctx.schedule_activity("Noop", number)
    return count


def fan_out(ctx, count):
    results = yield ctx.all([ctx.schedule_activity("Noop", number) for number in range(count)])
    return len(results)


def wait_once(ctx, input):
    received = yield ctx.wait_for_event("go")
    return received


WORKFLOWS = {"Hello": hello, "Sequence": sequence, "FanOut": fan_out, "WaitOnce": wait_once}


class Engine:
    """A running runtime with the workloads registered, and a client beside it."""

    def __init__(self, where, in_memory):
        if in_memory:
            self.provider = SqliteProvider.in_memory()
        elif where.startswith("postgresql:"):
            self.provider = PostgresProvider.connect(where)
        else:
            self.provider = SqliteProvider.open(f"{where}/bench.db")
        self.client = Client(self.provider)
        self.runtime = Runtime(self.provider, PyRuntimeOptions(log_level="error"))
        self.runtime.register_activity("Noop", noop)
        for name, function in WORKFLOWS.items():
            self.runtime.register_orchestration(name, function)

    def __enter__(self):
        self.runtime.start()
        self.run("warm-up", "Hello", "x")
        return self

    def __exit__(self, *_):
        self.runtime.shutdown(1_000)

    def start(self, instance, name, input):
        self.client.start_orchestration(instance, name, input)

    def finish(self, instance):
        result = self.client.wait_for_orchestration(instance, HOUR_MS)
        if result.status != "Completed":
            sys.exit(f"{instance} ended as {result.status}: {result.error}")

    def run(self, instance, name, input):
        """Run one instance from start to result; gives its seconds."""
        begun = time.perf_counter()
        self.start(instance, name, input)
        self.finish(instance)
        return time.perf_counter() - begun

    def run_all(self, count, name, input):
        """Run count instances at once, started one after another; gives the seconds for all."""
        begun = time.perf_counter()
        for number in range(count):
            self.start(f"{name}-{number}", name, input)
        for number in range(count):
            self.finish(f"{name}-{number}")
        return time.perf_counter() - begun


def one_by_one(engine, count):
    for n in range(WARM_UP):
        engine.run(f"warm-up-{n}", "Hello", "x")
    times = sorted(engine.run(f"hello-{n}", "Hello", "x") for n in range(count))
    return {"p50": times[count // 2], "p95": times[min(count - 1, count * 95 // 100)]}


def steps(engine, count):
    return {"per_step": engine.run("steps", "Sequence", count) / count}


def open_hellos(engine, count):
    return {"per_second": count / engine.run_all(count, "Hello", "x")}


def fan(engine, count):
    return {"seconds": engine.run("fan", "FanOut", count)}


def event_hop(engine, count):
    """From raising an event until the result of the workflow that waited for it."""
    times = []
    for number in range(count):
        instance = f"hop-{number}"
        engine.start(instance, "WaitOnce", None)
        time.sleep(0.3)  # until it waits
        begun = time.perf_counter()
        engine.client.raise_event(instance, "go", "x")
        engine.finish(instance)
        times.append(time.perf_counter() - begun)
    return {"p50": sorted(times)[count // 2]}


def open_steps(engine, count):
    return {"per_second": count * 100 / engine.run_all(count, "Sequence", 100)}


def idle(engine, count):
    """The share of one core that a runtime with nothing to do takes over count seconds."""
    cpu, begun = time.process_time(), time.perf_counter()
    time.sleep(count)
    return {"core_share": (time.process_time() - cpu) / (time.perf_counter() - begun)}


WORKLOADS = {
    "idle": idle,
    "hello": one_by_one,
    "event_hop": event_hop,
    "steps": steps,
    "open_hellos": open_hellos,
    "fan_out": fan,
    "steps_1000": steps,
    "steps_10000": steps,
    "memory_hello": one_by_one,
    "memory_steps": steps,
    "open_steps": open_steps,
}


def main():
    workload, where, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with Engine(where, in_memory=workload.startswith("memory_")) as engine:
        figures = WORKLOADS[workload](engine, count)
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
