"""Fetches PgBouncer for the tests into .cache/pgbouncer, on Debian and its relatives.

PyPI has no PgBouncer. Debian's package and the libraries of it that this machine lacks are
unpacked there as an ordinary user: nothing is installed, nothing outside the checkout is
written. The tests that need it are skipped where that is not possible.
"""

import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, ".cache", "pgbouncer")
PROGRAM = os.path.join(FOLDER, "pgbouncer")

# The program with the libraries beside it, wherever the folder is.
START = """#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH="$here/lib" exec "$here/program" "$@"
"""


def fetch():
    """Make PROGRAM unless the machine has one. Returns why there is none, or an empty text."""
    if shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"):
        return ""
    if works():
        return ""
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            return f"no {tool} to fetch it with"
    shutil.rmtree(FOLDER, ignore_errors=True)
    apt = os.path.join(FOLDER, "apt")
    try:
        unpacked = unpack(apt)
        collect(unpacked)
    except (OSError, subprocess.CalledProcessError) as failure:
        output = (getattr(failure, "stdout", None) or b"").decode(errors="replace").strip()
        shutil.rmtree(FOLDER, ignore_errors=True)
        return f"{failure} {output}"
    shutil.rmtree(apt, ignore_errors=True)
    return "" if works() else "the fetched program does not start"


def works():
    try:
        return (
            subprocess.run([PROGRAM, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        )
    except OSError:
        return False


def unpack(apt):
    """Download the packages, with lists of our own; gives the folder with what was in them."""
    for part in ("lists/partial", "cache/archives/partial", "unpacked"):
        os.makedirs(os.path.join(apt, part))
    settings = {
        "Dir::State::lists": os.path.join(apt, "lists"),
        "Dir::Cache": os.path.join(apt, "cache"),
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",  # so that apt, run by root, can write here
    }
    command = ["apt-get", "-qq"]
    for name, value in settings.items():
        command += ["-o", f"{name}={value}"]
    run([*command, "update"], apt)
    lines = run([*command, "install", "--print-uris", "-y", "--no-install-recommends", "pgbouncer"], apt)
    names = re.findall(r"/([a-z0-9.+-]+)_[^/']+\.deb'", lines)
    run([*command, "download", *names], apt)
    unpacked = os.path.join(apt, "unpacked")
    for file in os.listdir(apt):
        if file.endswith(".deb"):
            run(["dpkg-deb", "-x", file, unpacked], apt)
    return unpacked


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    return done.stdout.decode(errors="replace")


def collect(unpacked):
    """Put the program, its libraries and the script that starts it side by side."""
    library = os.path.join(FOLDER, "lib")
    os.makedirs(library)
    shutil.copy(os.path.join(unpacked, "usr", "sbin", "pgbouncer"), os.path.join(FOLDER, "program"))
    for place, _, files in os.walk(unpacked):
        for file in files:
            if ".so." in file:
                shutil.copy(os.path.join(place, file), library)
    with open(PROGRAM, "w", encoding="utf-8") as script:
        script.write(START)
    os.chmod(PROGRAM, 0o755)


if __name__ == "__main__":
    print(fetch() or PROGRAM)
