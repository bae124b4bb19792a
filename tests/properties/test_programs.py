"""A random workflow comes to the same result live, replayed at every turn, and with a crash between any two commits."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from interpreter import token
from model import Outcome, predict
from programs import Program, batches, certain, show, uncertain
from sealed import Sealed
from worlds import Batch, World

#: Programs that every run of the suite makes; `make soak` goes on for DUROXIDE_SOAK_SECONDS.
PROGRAMS = 1600
RACES = 400

SOAK = float(os.environ.get("DUROXIDE_SOAK_SECONDS", "0"))


# A runtime that dies closes no generator; the garbage collector does, where the context refuses to be used.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Worlds:
    """One store for each way to run, shared by all examples of a test."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.live = World(None).start()
        self.replayed = World(folder / "replayed.db", live_executions=0).start()
        self.crashing = [World(None), World(folder / "crashing.db"), World(None, live_executions=0)]
        self.crashing.append(World(folder / "sealed.db", codec=Sealed()))
        self.ran = 0

    def close(self) -> None:
        for world in (self.live, self.replayed, *self.crashing):
            world.close()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    made = Worlds(tmp_path_factory.mktemp("worlds"))
    yield made
    made.close()


def plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome with its error brought down to what the program raised."""
    return {**vars(outcome), "error": None if outcome.error is None else token(outcome.error)}


def compare(programs: Sequence[Program], batch: Batch, how: str) -> None:
    """Every program came to what the model predicts."""
    for program, (outcome, others) in zip(programs, batch.results()):
        expected, expected_others = predict(program)
        said = f"{how}\nprogram: {show(program)}\nerror: {outcome.error}"
        assert plain(outcome) == plain(expected), said
        assert sorted(token_key(o) for o in others) == sorted(o.key() for o in expected_others), said


def token_key(outcome: Outcome) -> str:
    return Outcome(outcome.status, outcome.output, plain(outcome)["error"]).key()


lives = st.lists(st.integers(1, 40), min_size=1, max_size=3)

_settings = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    "print_blob": True,
}


@settings(max_examples=50, **_settings)
@given(programs=batches(certain, 16), lives=lives, where=st.integers(0, 3))
def check_certain(worlds: Worlds, programs: list[Program], lives: list[int], where: int) -> None:
    live = worlds.live.run(programs)
    compare(programs, live, "live")
    replayed = worlds.replayed.run(programs)
    compare(programs, replayed, "replayed at every turn")
    crashing = worlds.crashing[where]
    crashed = crashing.run_with_crashes(programs, lives)
    compare(programs, crashed, f"crashes after {lives} writes, store {where}")
    for batch in (live, replayed, crashed):
        batch.forget()
    worlds.ran += len(programs)


@settings(max_examples=25, **_settings)
@given(programs=batches(uncertain, 16), lives=lives, where=st.integers(0, 3))
def check_uncertain(worlds: Worlds, programs: list[Program], lives: list[int], where: int) -> None:
    crashing = worlds.crashing[where]
    batches = [worlds.live.run(programs), worlds.replayed.run(programs), crashing.run_with_crashes(programs, lives)]
    for batch in batches:
        for program, (outcome, others) in zip(programs, batch.results()):
            for ended in (outcome, *others):
                assert ended.status in ("Completed", "Failed"), show(program)
                # What a program raises is a token; anything else is the engine's, nondeterminism above all.
                assert ended.error is None or token(ended.error) != ended.error, f"{show(program)}\n{ended.error}"
        batch.forget()
    worlds.ran += len(programs)


@pytest.mark.timeout(600)
def test_a_program_has_one_result_however_it_is_run(worlds: Worlds) -> None:
    while worlds.ran < PROGRAMS:
        check_certain(worlds)


@pytest.mark.timeout(600)
def test_a_race_that_anybody_may_win_replays_as_it_went(worlds: Worlds) -> None:
    worlds.ran = 0
    while worlds.ran < RACES:
        check_uncertain(worlds)


@pytest.mark.soak
@pytest.mark.skipif(SOAK <= 0, reason="DUROXIDE_SOAK_SECONDS is not set")
@pytest.mark.timeout(SOAK + 900)
def test_random_programs_for_as_long_as_told(worlds: Worlds) -> None:
    end = time.monotonic() + SOAK
    worlds.ran = 0
    while time.monotonic() < end:
        check_certain(worlds)
        check_uncertain(worlds)
    print(f"{worlds.ran} programs, each run three times")
