"""The workloads for dbos on its system database.

    python dbos_load.py WORKLOAD WHERE COUNT

WHERE is a folder for a SQLite file, or the URL of a PostgreSQL database. Prints one line of
JSON with the figures of the workload; times are in seconds. A workflow is started and its
result awaited through its handle, as its documentation shows; steps that run at once are
gathered in an async workflow. It has no database in memory.
"""

import asyncio
import json
import sqlite3
import sys
import time

from dbos import DBOS

WARM_UP = 10  # workflows before the first that is timed, with all systems


@DBOS.step()
def noop(value):
    return value


@DBOS.step()
async def noop_async(value):
    return value


@DBOS.workflow()
def hello(value):
    return noop(value)


@DBOS.workflow()
def sequence(count):
    for number in range(count):
        noop(number)
    return count


@DBOS.workflow()
async def fan_out(count):
    return len(await asyncio.gather(*(noop_async(number) for number in range(count))))


@DBOS.workflow()
def wait_once():
    return DBOS.recv("go", timeout_seconds=3600)


def run(workflow, value):
    """Run one workflow from start to result; gives its seconds."""
    begun = time.perf_counter()
    DBOS.start_workflow(workflow, value).get_result()
    return time.perf_counter() - begun


def run_all(count, workflow, value):
    """Run count workflows at once, started one after another; gives the seconds for all."""
    begun = time.perf_counter()
    handles = [DBOS.start_workflow(workflow, value) for _ in range(count)]
    for handle in handles:
        handle.get_result()
    return time.perf_counter() - begun


def one_by_one(count):
    for _ in range(WARM_UP):
        run(hello, "x")
    times = sorted(run(hello, "x") for _ in range(count))
    return {"p50": times[count // 2], "p95": times[min(count - 1, count * 95 // 100)]}


def steps(count):
    return {"per_step": run(sequence, count) / count}


def event_hop(count):
    times = []
    for _ in range(count):
        handle = DBOS.start_workflow(wait_once)
        time.sleep(0.3)  # until it waits
        begun = time.perf_counter()
        DBOS.send(handle.workflow_id, "x", "go")
        handle.get_result()
        times.append(time.perf_counter() - begun)
    return {"p50": sorted(times)[count // 2]}


def fan(count):
    async def start():
        handle = await DBOS.start_workflow_async(fan_out, count)
        return await handle.get_result()

    begun = time.perf_counter()
    asyncio.run(start())
    return {"seconds": time.perf_counter() - begun}


WORKLOADS = {
    "hello": one_by_one,
    "event_hop": event_hop,
    "steps": steps,
    "open_hellos": lambda count: {"per_second": count / run_all(count, hello, "x")},
    "fan_out": fan,
    "steps_1000": steps,
    "steps_10000": steps,
    "open_steps": lambda count: {"per_second": count * 100 / run_all(count, sequence, 100)},
}


def journal(path):
    """How the database commits: journal mode and synchronous level of a plain connection."""
    with sqlite3.connect(path) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        level = connection.execute("PRAGMA synchronous").fetchone()[0]
    return f"journal_mode={mode} synchronous={('OFF', 'NORMAL', 'FULL', 'EXTRA')[level]}"


def configure(where):
    """Gives what is to be said about its database."""
    database = None if where.startswith("postgresql:") else f"{where}/dbos.sqlite"
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{database}" if database else where,
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )
    return database


def main():
    workload, where, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    database = configure(where)
    DBOS.launch()
    run(hello, "x")
    figures = WORKLOADS[workload](count)
    if database:
        figures["note"] = journal(database)
    print(json.dumps(figures), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
