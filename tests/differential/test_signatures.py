"""Calls that the peer takes are taken here: every parameter has its name, its place and its default."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from signatures import signature

import duroxide

RECORDED = json.loads((pathlib.Path(__file__).parent / "signatures-0.2.2.json").read_text(encoding="utf-8"))

KEYWORDS = "Its options are keywords, so that new ones need no place in an order."
NATIVE = "Providers are made by their class methods; in the peer they take an object of its extension module."
BY_HAND = "The engine's own dictionary, which a context made by hand may leave out."
URL = "The first argument, given by its place, is the url."

#: Parameters that are called otherwise, or are not there, and why.
INTENDED = {
    "ActivityContext": BY_HAND,
    "OrchestrationContext": BY_HAND,
    "PostgresProvider": NATIVE,
    "PostgresProvider.connect": URL,
    "PostgresProvider.connect_with_schema": URL,
    "PyRuntimeOptions": KEYWORDS,
    "RuntimeOptions": KEYWORDS,
    "SqliteProvider": NATIVE,
}


def ours(name: str) -> list[list[Any]]:
    thing: Any = duroxide
    for part in name.split("."):
        thing = getattr(thing, part)
    return signature(thing) or []


@pytest.mark.parametrize("name", RECORDED)
def test_parameters_of_the_peer_are_taken(name: str) -> None:
    theirs, here = RECORDED[name], ours(name)
    if name in INTENDED:
        assert here[: len(theirs)] != theirs, f"no longer so, take it out of INTENDED: {name}"
        return
    placed = [p for p in theirs if p[1] != "KEYWORD_ONLY"]
    assert here[: len(placed)] == placed
    for keyword in theirs[len(placed) :]:
        assert keyword in here
    assert all(p[1].startswith("VAR_") or p[2] is not None for p in here[len(theirs) :]), "what is added has a default"


def test_every_option_of_the_peer_is_taken_by_name_and_none_is_the_default() -> None:
    names = [parameter[0] for parameter in RECORDED["RuntimeOptions"]]
    assert len(names) == 18
    assert duroxide.RuntimeOptions(**dict.fromkeys(names)) == duroxide.RuntimeOptions()
    every = dict.fromkeys(duroxide.RuntimeOptions().to_dict())
    assert duroxide.RuntimeOptions(**every) == duroxide.RuntimeOptions()
