"""Run all programs on the peer, `duroxide` 0.2.2 from PyPI, and record what it does, and its signatures.

    python tests/differential/record.py [--compare] [PEER_PYTHON]

PEER_PYTHON is an interpreter that has it; without one an environment is made in .cache/peer.
With --compare nothing is written: prints where the peer behaves otherwise than recorded and exits with 1.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from differences import differences

HERE = pathlib.Path(__file__).resolve().parent
PEER = "duroxide==0.2.2"
RECORDED = HERE / "recorded-0.2.2.json"
SIGNATURES = HERE / "signatures-0.2.2.json"
ROUNDS = 6


def environment() -> pathlib.Path:
    """An interpreter with the peer, made when it is not there."""
    folder = HERE.parents[1] / ".cache" / "peer"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if subprocess.run([python, "-c", "import duroxide"], capture_output=True).returncode if python.exists() else True:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return python


def programs() -> list[list[str]]:
    """The names of all programs, by module."""
    found = []
    for module in sorted((HERE / "programs").glob("*.py")):
        found.append(re.findall(r"^@(?:program|alone\(.*\))\ndef (\w+)", module.read_text(), re.MULTILINE))
    return found


def disturbed(result: Any) -> bool:
    """Whether the peer's own trouble with a busy file got into a result."""
    text = json.dumps(result)
    return "atabase is locked" in text or '"broken"' in text


def run(python: pathlib.Path, names: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [python, HERE / "run.py", *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=150
    )
    return json.loads(done.stdout) if done.returncode == 0 else {}


def record(python: pathlib.Path) -> dict[str, Any]:
    """What the peer does. Programs that its trouble with a busy file disturbs run again, with fewer beside them."""
    results: dict[str, Any] = {}
    groups = programs()
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(2) as pool:
            for part in pool.map(lambda group: run(python, group), groups):
                results.update(part)
        left = [name for group in groups for name in group if disturbed(results.get(name, {"broken": ""}))]
        groups = [left[i : i + 6] for i in range(0, len(left), 6)]
        if not left:
            return results
    raise SystemExit(f"the peer never finished undisturbed: {left}: {[results.get(name) for name in left]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", action="store_true", help="write nothing, tell what has changed")
    parser.add_argument("python", nargs="?", metavar="PEER_PYTHON")
    given = parser.parse_args()
    python = pathlib.Path(given.python) if given.python else environment()
    seen = record(python)
    signatures = subprocess.check_output([python, HERE / "signatures.py"], text=True)
    if not given.compare:
        SIGNATURES.write_text(signatures, encoding="utf-8")
        text = json.dumps(seen, indent=1, sort_keys=True, ensure_ascii=False)
        RECORDED.write_text(text + "\n", encoding="utf-8")
        print(f"{len(seen)} programs recorded in {RECORDED}")
        return 0
    changed = [
        f"{name} {place}: recorded {old!r}, now {new!r}"
        for name, place, old, new in differences(json.loads(RECORDED.read_text(encoding="utf-8")), seen)
    ]
    if SIGNATURES.read_text(encoding="utf-8") != signatures:
        changed.append(f"its signatures are others than in {SIGNATURES}")
    print("\n".join(changed) or f"{len(seen)} programs, the peer behaves as recorded")
    return bool(changed)


if __name__ == "__main__":
    sys.exit(main())
