"""Runs every check that is not a test, and prints one line for each.

A check that cannot run on this machine is reported as skipped, with the reason;
it never counts as passed. Exit status: 1 when any check failed, else 0.

    python tools/check.py [NAME ...]     run only the named checks
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
GO_TOOLS = Path(os.environ.get("GOBIN", CACHE / "bin"))
LONGEST_FILE = 600

# Installed through the module proxy at these versions.
STATICCHECK = "honnef.co/go/tools/cmd/staticcheck@v0.8.1"
GOLANGCI = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"
GOVULNCHECK = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"


class Skipped(Exception):
    """The check cannot run here; the text says why."""


class Failed(Exception):
    """The check found something; the text says what."""


def run(*command: str, **environment: str) -> str:
    """The output of a command run at the root of the checkout; Failed when it exits non-zero."""
    answer = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if answer.returncode != 0:
        raise Failed(answer.stdout.strip() or f"{command[0]} exited {answer.returncode}")
    return answer.stdout


def go_tool(module: str) -> str:
    """The path of a Go tool, installed first if it is not there at that version."""
    name, version = module.rsplit("/", 1)[1].split("@")
    tool = GO_TOOLS / name
    if tool.exists() and version in run("go", "version", "-m", str(tool)):
        return str(tool)
    try:
        run("go", "install", module, CGO_ENABLED="0", GOBIN=str(GO_TOOLS))
    except Failed as failure:
        raise Skipped(f"{name} {version} could not be installed: {str(failure).splitlines()[-1]}") from None
    return str(tool)


def tracked(*suffixes: str) -> list[Path]:
    """The files of the project with one of these suffixes, caches and builds left out."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listing = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
        files = [ROOT / name for name in listing.splitlines()]
    else:
        skipped = {".venv", ".cache", "build", "dist", ".git"}
        files = [f for f in ROOT.rglob("*") if not skipped & set(f.relative_to(ROOT).parts)]
    return sorted(f for f in files if f.suffix in suffixes and f.is_file())


def gofmt() -> None:
    unformatted = run("gofmt", "-l", "core", "capi").strip()
    if unformatted:
        raise Failed(f"run `make fmt`; not formatted:\n{unformatted}")


def go_vet() -> None:
    run("go", "vet", "./...", CGO_ENABLED="1")


def go_modules() -> None:
    run("go", "mod", "verify")
    run("go", "mod", "tidy", "-diff")


def staticcheck() -> None:
    run(go_tool(STATICCHECK), "./...", CGO_ENABLED="1")


def golangci_lint() -> None:
    run(go_tool(GOLANGCI), "run", "./...", CGO_ENABLED="1")


def govulncheck() -> None:
    try:
        run(go_tool(GOVULNCHECK), "./...", CGO_ENABLED="1")
    except Failed as failure:
        if re.search(
            r"dial tcp|no such host|fetching vulnerabilities|connection refused|Forbidden",
            str(failure),
        ):
            raise Skipped("the vulnerability database cannot be reached from this machine") from None
        raise


def ruff_format() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", "--diff", ".")


def ruff_lint() -> None:
    run(sys.executable, "-m", "ruff", "check", ".")


def mypy() -> None:
    run(sys.executable, "-m", "mypy")


def licences() -> None:
    run(sys.executable, "tools/licences.py", "--check")


def heading_anchor(heading: str) -> str:
    """The anchor of a Markdown heading: lower case, no punctuation, dashes for blanks."""
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def links() -> None:
    """Links in Markdown files lead to files and headings of this tree; the web is not asked."""
    dead = []
    for page in tracked(".md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists():
                dead.append(f"{page.relative_to(ROOT)}: {target}: no such file")
            elif anchor and file.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
                if anchor not in map(heading_anchor, headings):
                    dead.append(f"{page.relative_to(ROOT)}: {target}: no such heading")
    if dead:
        raise Failed("\n".join(dead))


def docs() -> None:
    """Guide and reference build: every link leads somewhere, every public name has its entry."""
    strict = ("--fresh-env", "--nitpicky", "--fail-on-warning", "--keep-going", "--quiet", "--no-color", "-b", "dummy")
    run(sys.executable, "-m", "sphinx", *strict, "-d", str(CACHE / "docs-check"), "docs", str(CACHE / "docs-pages"))


def file_length() -> None:
    long = []
    for file in tracked(".go", ".py", ".sql"):
        lines = file.read_text(encoding="utf-8").count("\n")
        if lines > LONGEST_FILE:
            long.append(f"{file.relative_to(ROOT)}: {lines} lines; a wall is missing inside it")
    if long:
        raise Failed("\n".join(long))


CHECKS: list[Callable[[], None]] = [
    gofmt, ruff_format, ruff_lint, mypy, go_vet, go_modules, licences, links, docs, file_length,
    staticcheck, govulncheck, golangci_lint,
]  # fmt: skip


class Outcome(NamedTuple):
    """What became of one check: detail is None when it passed."""

    verdict: str
    detail: str | None


def outcome_of(check: Callable[[], None]) -> Outcome:
    try:
        check()
    except Skipped as reason:
        return Outcome("SKIPPED", str(reason))
    except Failed as finding:
        return Outcome("FAILED", str(finding))
    except FileNotFoundError as missing:
        return Outcome("FAILED", f"{missing.filename} is not installed")
    return Outcome("ok", None)


def main() -> int:
    wanted = sys.argv[1:]
    names = [check.__name__ for check in CHECKS]
    for name in wanted:
        if name not in names:
            print(f"no check {name!r}; there are: {' '.join(names)}", file=sys.stderr)
            return 2
    failed = []
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        begun = time.monotonic()
        outcome = outcome_of(check)
        name = check.__name__.replace("_", " ")
        print(f"{outcome.verdict:8} {name:14} {time.monotonic() - begun:6.1f} s", flush=True)
        if outcome.detail:
            print("    " + outcome.detail.replace("\n", "\n    "), flush=True)
        if outcome.verdict == "FAILED":
            failed.append(name)
    if failed:
        print(f"\n{len(failed)} of the checks failed: {', '.join(failed)}")
        return 1
    print("\nno check failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
