"""The examples run, with live executions and replayed at every turn, and do what they say."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

# Runs a program whose runtimes have another default for live_executions.
REPLAYED = """
import runpy, sys
from duroxide import _options
check = _options._OPTIONS["live_executions"][1]
_options._OPTIONS["live_executions"] = (0, check)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

PRINTED = {
    "order_saga/order_saga.py": """\
order-1: sent, parcel to 12 Mill Lane
order-2: undone, Activity 'hold' call failed: NonRetryableError: no kettle left
         took back: release
order-3: undone, Activity 'pick_up' call failed: ConnectionError: the carrier does not answer
         took back: refund, release
bank: 4250 cents, stock: {'kettle': 0, 'cup': 5}, calls of the carrier: 4
""",
    "approval/approval.py": """\
large: waiting for an answer, 0 reminders sent
small: {'decision': 'approved', 'by': 'rule'}
forgotten: {'decision': 'expired', 'by': None}
large: {'decision': 'approved', 'by': 'Grace'}
  mail to Ada: your expense was approved
  mail to manager: question about 70000 cents
  mail to manager: question about 90000 cents
  mail to manager: reminder about 70000 cents
  mail to manager: reminder about 70000 cents
""",
    "chat_bot/chat_bot.py": """\
ada: Tea
bot: Tea is interesting.
ada: Rain
bot: Rain is interesting.
ada: What did I say?
bot: You said: Tea / Rain
ada: Snow
bot: Snow is interesting.
ada: What did I say?
bot: You said: Tea / Rain / What did I say? / Snow
ada: bye
bot: Good bye.
{'answered': 5} in 2 executions
""",
    "nightly/nightly.py": "9990 done, 10 failed, sum 29961; 40 of 40 batches\n",
}


#: Attempts of activities that fail because an example is about that; each is a warning in the log.
FAILED_ATTEMPTS = {"order_saga/order_saga.py": 4}


def run(mode: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a process of its own."""
    command = [sys.executable, *(["-c", REPLAYED] if mode == "replayed" else []), *arguments]
    answer = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.mark.parametrize("example", PRINTED)
def test_example_prints_what_it_promises(example: str, mode: str) -> None:
    answer = run(mode, str(EXAMPLES / example))
    assert answer.stdout == PRINTED[example]
    if example == "nightly/nightly.py":
        return  # tells its progress there
    warnings = [text for text in answer.stderr.splitlines() if not text.startswith("    ")]
    failed = [text for text in warnings if "activity failed" in text]
    assert len(failed) == FAILED_ATTEMPTS.get(example, 0)
    assert failed == warnings, "an example that logs warnings teaches them"


def test_histories_of_the_nightly_run_do_not_grow_with_its_items() -> None:
    answer = run("live", str(EXAMPLES / "nightly" / "nightly.py"), "1001")
    assert answer.stdout.startswith("1000 done, 1 failed, ")
    assert "5 children, no history longer than 502 events" in answer.stderr


@pytest.mark.parametrize("example", PRINTED)
def test_example_has_a_page_that_says_how_to_run_it(example: str) -> None:
    page = (EXAMPLES / example).parent / "README.md"
    assert f"python examples/{example}" in page.read_text(encoding="utf-8")
