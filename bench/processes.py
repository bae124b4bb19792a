"""Throughput of several worker processes on one PostgreSQL database.

    python processes.py URL PROCESSES INSTANCES POSTMASTER

Starts PROCESSES workers of this package, then INSTANCES sequences of 100 steps from a client
that runs nothing itself, and waits for them all. Prints one line of JSON: steps per second, and
the cores that workers, client and database kept busy meanwhile. POSTMASTER is the pid of the
server, of whose processes /proc tells the time.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from duroxide_load import HOUR_MS, WORKFLOWS, noop

from duroxide import Client, PostgresProvider, PyRuntimeOptions, Runtime

STEPS = 100
TICKS = os.sysconf("SC_CLK_TCK")


def work(url):
    """A worker: ready when it says so; it ends with its standard input and tells its CPU time."""
    runtime = Runtime(PostgresProvider.connect(url), PyRuntimeOptions(log_level="error"))
    runtime.register_activity("Noop", noop)
    for name, function in WORKFLOWS.items():
        runtime.register_orchestration(name, function)
    runtime.start()
    begun = time.process_time()
    print("ready", flush=True)
    sys.stdin.readline()
    print(time.process_time() - begun, flush=True)
    runtime.shutdown(1_000)


class Worker:
    def __init__(self, url):
        self.process = subprocess.Popen(
            [sys.executable, __file__, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"a worker ended with status {self.process.wait()}")

    def end(self):
        """Gives its CPU seconds."""
        return float(self.process.communicate("\n")[0])


def server_seconds(postmaster):
    """CPU seconds of the server: its own, of its children that ended, and of those that run."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(stat.parent.name) == postmaster:
            total += sum(int(f) for f in fields[11:15])
        elif int(fields[1]) == postmaster:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def measure(url, processes, instances, postmaster):
    client = Client(PostgresProvider.connect(url))
    workers = [Worker(url) for _ in range(processes)]
    own, server, begun = time.process_time(), server_seconds(postmaster), time.perf_counter()
    for number in range(instances):
        client.start_orchestration(f"sequence-{number}", "Sequence", STEPS)
    for number in range(instances):
        if client.wait_for_orchestration(f"sequence-{number}", HOUR_MS).status != "Completed":
            sys.exit(f"sequence-{number} did not complete")
    seconds = time.perf_counter() - begun
    own, server = time.process_time() - own, server_seconds(postmaster) - server
    return {
        "per_second": instances * STEPS / seconds,
        "worker_cores": sum(worker.end() for worker in workers) / seconds,
        "client_cores": own / seconds,
        "database_cores": server / seconds,
    }


if __name__ == "__main__":
    if len(sys.argv) == 2:
        work(sys.argv[1])
    else:
        print(json.dumps(measure(sys.argv[1], *map(int, sys.argv[2:]))), flush=True)
