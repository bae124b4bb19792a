"""A worker that bench/recovery.py kills: one endless workflow of short steps.

    python recovery_worker.py duroxide|dbos FOLDER

Prints `start TIME` before the runtime starts and `step TIME` whenever an activity begins;
times are those of the monotonic clock, which all processes of a machine share.
"""

import os
import sys
import time

STEPS = 1_000_000


def report(what):
    os.write(1, f"{what} {time.monotonic_ns()}\n".encode())


def short_work():
    report("step")
    time.sleep(0.002)


def run_duroxide(folder):
    from duroxide import Client, PyRuntimeOptions, Runtime, SqliteProvider

    def sequence(ctx, count):
        for number in range(count):
            yield ctx.schedule_activity("Work", number)

    provider = SqliteProvider.open(f"{folder}/recovery.db")
    runtime = Runtime(provider, PyRuntimeOptions(log_level="error"))
    runtime.register_activity("Work", lambda ctx, input: short_work())
    runtime.register_orchestration("Sequence", sequence)
    report("start")
    runtime.start()
    # Starting an instance that exists changes nothing, so the first worker starts it for all.
    Client(provider).start_orchestration("endless", "Sequence", STEPS)


def run_dbos(folder):
    import dbos_load
    from dbos import DBOS, SetWorkflowID

    step = DBOS.step(name="short_work")(short_work)

    @DBOS.workflow()
    def sequence(count):
        for _ in range(count):
            step()

    first = not os.path.exists(f"{folder}/dbos.sqlite")
    dbos_load.configure(folder)
    report("start")
    DBOS.launch()
    if first:
        with SetWorkflowID("endless"):
            DBOS.start_workflow(sequence, STEPS)


if __name__ == "__main__":
    {"duroxide": run_duroxide, "dbos": run_dbos}[sys.argv[1]](sys.argv[2])
    sys.stdin.read()  # until it is killed, or the bench ends and its pipe closes
