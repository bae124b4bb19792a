"""The commands that the README names are the ones that CI runs, and the demo keeps its word."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

HABITS = ["demo", "test", "check", "bench", "soak", "fmt", "wheel"]


def test_ci_runs_the_test_command_of_the_readme(root):
    commands = [
        line
        for line in (root / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert commands == ["exec make test"]
    assert re.search(r"^make test$", (root / "README.md").read_text(encoding="utf-8"), re.M)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_habit(root):
    listing = subprocess.run(["make", "-s", "help"], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
    listed = re.findall(r"^\s*make (\w+)\s+\S", listing, re.M)
    assert [habit for habit in HABITS if habit not in listed] == []


@pytest.mark.skipif(sys.platform == "win32", reason="the demo kills with SIGKILL")
def test_the_demo_finishes_in_time_and_its_claims_hold(root):
    answer = subprocess.run(
        [sys.executable, "examples/demo/demo.py"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count("  yes  ") == 4
    assert "  NO   " not in answer.stdout
