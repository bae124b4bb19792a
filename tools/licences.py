"""Collects the licences of everything that is linked into the shared library.

Writes THIRD_PARTY_LICENSES at the root of the checkout, which every wheel and
source distribution carries. With --check it writes nothing and exits 1 when the
file is out of date. Needs `go` on PATH and a filled module cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "THIRD_PARTY_LICENSES"
# Every platform that a wheel is built for: some modules are linked on one of them only.
PLATFORMS = [("linux", "amd64"), ("linux", "arm64"), ("darwin", "arm64"), ("windows", "amd64")]
NAMES = ("licen", "copying", "notice", "patents")
RULE = "=" * 78


class Part(NamedTuple):
    """One linked module: its path, its version and the folder with its licence files."""

    name: str
    version: str
    folder: Path


def go(*arguments: str, **environment: str) -> str:
    """The output of a go command, run at the root of the checkout."""
    command = ["go", *arguments]
    answer = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if answer.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{answer.stderr}")
    return answer.stdout


def json_values(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand one after another in text."""
    decoder = json.JSONDecoder()
    values, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        values.append(value)
    return values


def linked_modules() -> list[Part]:
    """The modules whose packages ./capi links on any platform, sorted by path."""
    found: dict[str, Part] = {}
    for system, machine in PLATFORMS:
        listing = go("list", "-deps", "-json=Module", "./capi", GOOS=system, GOARCH=machine, CGO_ENABLED="1")
        for package in json_values(listing):
            module = package.get("Module")
            if module is None or module.get("Main"):
                continue
            module = module.get("Replace", module)
            found[module["Path"]] = Part(module["Path"], module["Version"], Path(module["Dir"]))
    return [found[path] for path in sorted(found)]


def licence_files(part: Part) -> list[Path]:
    """The licence files of a module, at least one."""
    files = sorted(f for f in part.folder.iterdir() if f.is_file() and f.name.lower().startswith(NAMES))
    if not files:
        sys.exit(f"{part.name} {part.version}: no licence file in {part.folder}")
    return files


def document() -> str:
    """The text of THIRD_PARTY_LICENSES."""
    standard_library = Part("The Go standard library and runtime", "", Path(go("env", "GOROOT").strip()))
    parts = [standard_library, *linked_modules()]
    out = [
        "The shared library of this package links the parts below.",
        "Made by `make licences`; do not edit by hand.",
        "",
        *(f"  {part.name} {part.version}".rstrip() for part in parts),
    ]
    for part in parts:
        for file in licence_files(part):
            text = file.read_text(encoding="utf-8").replace("\r\n", "\n").strip("\n")
            out += [
                "",
                RULE,
                f"{part.name} {part.version}".rstrip() + f": {file.name}",
                RULE,
                "",
                text,
            ]
    return "\n".join(out) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when out of date")
    check = parser.parse_args().check
    text = document()
    if check:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            print("THIRD_PARTY_LICENSES is out of date: run `make licences`", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
