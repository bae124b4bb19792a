"""A child that user code forks while the engine runs it never answers the engine: it ends where it would come back."""

from __future__ import annotations

import os
import pathlib

import pytest

from harness import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")

# Each forks, and gives (in the parent) how the child ended. What the child does instead is the line in its middle.
SCRIPT = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")  # fork beside threads: that is what this is about
from duroxide import Client, Runtime, RuntimeOptions, SqliteProvider

def ended(child):
    status = os.waitpid(child, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else f"signal {{status}}"

def plain(ctx, input):
    child = os.fork()
    if child == 0:
        {child}
    return ended(child)

async def coroutine(ctx, input):
    child = os.fork()
    if child == 0:
        {child}
    return ended(child)

function = plain

def generator(ctx, input):
    yield ctx.schedule_timer(0)
    child = os.fork()
    if child == 0:
        {child}
    status = ended(child) if child else None
    yield ctx.schedule_timer(0)
    return status

def calls(ctx, name):
    return (yield ctx.schedule_activity(name))

provider = SqliteProvider.open(sys.argv[1])
runtime = Runtime(provider, RuntimeOptions(verify_replay=0, log_level="off"))
for f in (plain, coroutine):
    runtime.register_activity(f)
for f in (calls, generator):
    runtime.register_orchestration(f)
runtime.register_orchestration("function", function)
client = Client(provider)
with runtime:
    name = sys.argv[2]
    client.start_orchestration("i", name if name in ("function", "generator") else "calls", name)
    result = client.wait_for_orchestration("i", 20_000)
    print("parent", os.getpid(), result.output, result.error, flush=True)
assert provider._check() == []
"""

WHO = {
    "plain": "an activity",
    "coroutine": "an activity",
    "function": "an orchestration",
    "generator": "an orchestration",
}

ENDINGS = {
    "raises": ('raise ValueError("no such tool")', 1, "ValueError: no such tool"),
    "cannot execute": ('os.execvp("no-such-tool", ["no-such-tool"])', 1, "FileNotFoundError"),
    "exits": ('print("done its work"); sys.exit()', 0, ""),
    "exits with a status": ("sys.exit(7)", 7, ""),
    "exits with a text": ('sys.exit("out of order")', 1, "out of order"),
    "is interrupted": ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
    "ends by itself": ("os._exit(5)", 5, ""),
    "asks the engine": ("client.get_status('i')", 1, "RuntimeStateError"),
    "returns": ("return 'the child'", 1, "came back"),
}


def run(tmp_path: pathlib.Path, who: str, child: str) -> tuple[str, str, str, str]:
    """The pid of the parent and what came of its instance; what was printed before; what went to stderr."""
    done = python(SCRIPT.format(child=child), str(tmp_path / "store.db"), who)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("parent ") == 1, "the child came back into the script"
    before, _, rest = done.stdout.partition("parent ")
    pid, _, output = rest.strip().partition(" ")
    return pid, output, before, done.stderr


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("who", WHO)
def test_child_ends_as_it_asked_and_its_parent_goes_on(tmp_path: pathlib.Path, who: str, ending: str) -> None:
    child, status, said = ENDINGS[ending]
    pid, output, _, stderr = run(tmp_path, who, child)
    assert output == f"{status} None", stderr
    assert said in stderr
    if ending == "returns":
        assert f"was forked by {WHO[who]} of process {pid} and came back into it" in stderr
        assert len(stderr.splitlines()) == 1
    elif not said:
        assert stderr == ""
    assert "_lanes.py" not in stderr
    assert "_event_loop.py" not in stderr


def test_what_the_child_printed_is_not_lost(tmp_path: pathlib.Path) -> None:
    _, _, printed, _ = run(tmp_path, "plain", 'sys.stdout.write("no line end"); raise ValueError')
    assert printed == "no line end"


def test_child_that_yields_to_the_engine_ends(tmp_path: pathlib.Path) -> None:
    pid, output, _, stderr = run(tmp_path, "generator", "pass")
    assert output == "1 None", stderr
    assert f"was forked by an orchestration of process {pid} and came back" in stderr


def test_child_of_a_child_ends_too(tmp_path: pathlib.Path) -> None:
    _, output, _, stderr = run(tmp_path, "plain", "child = os.fork(); sys.exit(ended(child) + 40 if child else 2)")
    assert output == "42 None", stderr
    assert stderr == ""


CROWD = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")
from duroxide import Client, Runtime, RuntimeOptions, SqliteProvider

steps = open(sys.argv[1], "a", buffering=1)

async def steps_on(ctx, input):
    # It is due whenever the other one forks: a copy of it that went on would write too.
    while not gone.is_set():
        steps.write(f"{os.getpid()}\\n")
        await asyncio.sleep(0)

async def forks(ctx, input):
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                CHILD
            statuses.append(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
            await asyncio.sleep(0)
        return statuses
    finally:
        gone.set()

statuses = []
runtime = Runtime(SqliteProvider.in_memory(), RuntimeOptions(verify_replay=0, log_level="off"))
runtime.register_activity(steps_on)
runtime.register_activity(forks)

@runtime.register_orchestration
def both(ctx, input):
    results = yield ctx.all([ctx.schedule_activity(f) for f in (steps_on, steps_on, forks)])
    return results[2]["ok"]

gone = asyncio.Event()
with runtime:
    client = Client(runtime._provider)
    client.start_orchestration("i", both)
    result = client.wait_for_orchestration("i", 20_000)
print(os.getpid(), result.output, result.error, flush=True)
"""


@pytest.mark.parametrize(
    ("child", "status"),
    [
        ("await asyncio.sleep(0)", 1),
        ("await asyncio.sleep(3600)", 1),
        ("await asyncio.gather(asyncio.sleep(0), asyncio.sleep(1))", 1),
        ("await asyncio.get_running_loop().create_task(asyncio.sleep(0))", 1),
        ("sys.exit(3)", 3),
    ],
)
def test_no_other_coroutine_takes_a_step_in_the_child(tmp_path: pathlib.Path, child: str, status: int) -> None:
    done = python(CROWD.replace("CHILD", child), str(tmp_path / "steps"))
    pid, _, result = done.stdout.partition(" ")
    assert result.strip() == f"{[status] * 20} None", done.stderr
    assert set((tmp_path / "steps").read_text().split()) == {pid}
