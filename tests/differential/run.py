"""Run all programs on the `duroxide` that this interpreter imports; prints {program: result} as JSON.

    python tests/differential/run.py [--options JSON] [--store FILE] [PROGRAM ...]

All programs run at once, those of a module on one store and one runtime, for the peer takes 0.1 to 0.2 s for a step.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import traceback
from typing import Any

from scope import PROGRAMS, Scope, plain

import duroxide

HERE = pathlib.Path(__file__).resolve().parent

#: A bound for all programs together.
PATIENCE_SECONDS = 100

#: Options of every runtime.
SHARED = {"dispatcher_poll_interval_ms": 20, "orchestration_concurrency": 4, "worker_concurrency": 4}


class World:
    """A store with one runtime."""

    def __init__(self, file: pathlib.Path, options: dict[str, Any]) -> None:
        self.provider = duroxide.SqliteProvider.open(f"sqlite:{file}")
        self.runtime = duroxide.Runtime(self.provider, duroxide.PyRuntimeOptions(**options))

    def close(self) -> list[str]:
        """Stop; what this package's own check of the store finds."""
        self.runtime.shutdown(100)
        check = getattr(self.provider, "_check", None)
        return [str(violation) for violation in check()] if check else []


def run(names: list[str], options: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    worlds: dict[str, World] = {}
    running = {}
    results: dict[str, Any] = {}
    for name in names:
        fn, own_store, own_options = PROGRAMS[name]
        store = name if own_store else fn.__module__.rpartition(".")[2]
        if store not in worlds:
            worlds[store] = World(folder / f"{store}.db", {**SHARED, **own_options, **options})
        world = worlds[store]
        running[name] = fn(Scope(name, world.provider, world.runtime))
        next(running[name])
    for world in worlds.values():
        world.runtime.start()

    def finish(name: str) -> None:
        try:
            next(running[name])
        except StopIteration as end:
            results[name] = plain(end.value)
        except BaseException:
            results[name] = {"broken": traceback.format_exc()}
        else:
            results[name] = {"broken": "the program yields twice"}

    threads = [threading.Thread(target=finish, args=(name,), daemon=True) for name in names]
    end = time.monotonic() + PATIENCE_SECONDS
    for thread in threads:
        thread.start()
    for name, thread in zip(names, threads):
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            results[name] = {"broken": f"not finished after {PATIENCE_SECONDS} s"}
    for store, world in worlds.items():
        violations = world.close()
        if violations:
            results[f"store {store}"] = {"broken": violations}
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--options", type=json.loads, default={}, help="options of every runtime, as JSON")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    given = parser.parse_args()
    for module in sorted((HERE / "programs").glob("*.py")):
        importlib.import_module(f"programs.{module.stem}")
    names = given.programs or list(PROGRAMS)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="differential-"))
    # Only the results go to standard output; the peer logs there.
    with quiet_stdout() as real:
        results = run(names, given.options, folder)
        os.write(real, json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


@contextlib.contextmanager
def quiet_stdout() -> Any:
    """Whatever anybody prints goes to standard error; gives the descriptor of the real standard output."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        yield real
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the peer's threads are not joined
