"""The same programs give the same here as under the peer, but for the differences that are intended."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

from differences import differences
from intended import INTENDED

from harness import MODES, environment

HERE = pathlib.Path(__file__).resolve().parent
RECORDED = json.loads((HERE / "recorded-0.2.2.json").read_text(encoding="utf-8"))


def run(mode: str) -> dict[str, Any]:
    options = json.dumps({**MODES[mode], "verify_replay": 1.0})
    done = subprocess.run(
        [sys.executable, str(HERE / "run.py"), "--options", options],
        env=environment(),
        capture_output=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    results: dict[str, Any] = json.loads(done.stdout)
    return results


def test_differences_from_the_peer_are_the_intended_ones(mode: str) -> None:
    found = {(name, place): ours for name, place, _, ours in differences(RECORDED, run(mode))}
    listed = {(name, place): ours for name, place, ours, _ in INTENDED}
    problems = [f"not intended: {at}: here {found[at]!r}" for at in sorted(found.keys() - listed.keys())]
    problems += [f"no longer so, take it out of intended.py: {at}" for at in sorted(listed.keys() - found.keys())]
    problems += [
        f"differs otherwise than intended: {at}: here {found[at]!r}, intended {listed[at]!r}"
        for at in sorted(found.keys() & listed.keys())
        if found[at] != listed[at]
    ]
    assert not problems, "\n".join(problems)


def test_every_intended_difference_is_listed_once_and_says_why() -> None:
    places = [(name, place) for name, place, _, _ in INTENDED]
    assert len(places) == len(set(places))
    assert all(len(reason.split()) > 4 for _, _, _, reason in INTENDED)


def test_a_difference_in_any_place_is_found() -> None:
    """The comparison itself: values, kinds of values, lengths, absent members and programs."""
    recorded = {"p": {"output": [1, {"a": None}], "history": [["A", "B"]]}}
    for other in (
        {"p": {"output": [True, {"a": None}], "history": [["A", "B"]]}},
        {"p": {"output": [1, {}], "history": [["A", "B"]]}},
        {"p": {"output": [1], "history": [["A", "B"]]}},
        {"p": {"output": [1, {"a": None}], "history": [["B", "A"]]}},
        {"p": {"output": [1, {"a": None}], "history": [["A", "B"], []]}},
        {},
    ):
        assert differences(recorded, other), other
    assert not differences(recorded, json.loads(json.dumps(recorded)))


def test_the_recorded_programs_are_many_and_undisturbed() -> None:
    assert len(RECORDED) >= 100
    assert '"broken"' not in json.dumps(RECORDED)
