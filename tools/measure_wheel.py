"""Prints what a wheel costs its users: bytes to download, bytes on disk, time to import.

python tools/measure_wheel.py FOLDER    measures the newest wheel in FOLDER
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

RUNS = 9
IMPORT = "import time; t = time.perf_counter(); import duroxide; print(time.perf_counter() - t)"
OPEN = (
    "import time, duroxide; t = time.perf_counter(); "
    "p = duroxide.SqliteProvider.in_memory(); print(time.perf_counter() - t); p.close()"
)


def seconds(code: str, folder: str) -> float:
    """The median over RUNS fresh interpreters of the seconds that code prints."""
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {folder!r}); {code}"]
    runs = []
    for _ in range(RUNS):
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        runs.append(float(answer.stdout))
    return statistics.median(runs)


def main() -> int:
    folder = Path(sys.argv[1])
    wheels = sorted(folder.glob("duroxide-*.whl"), key=lambda wheel: wheel.stat().st_mtime)
    if not wheels:
        print(f"no wheel in {folder}", file=sys.stderr)
        return 1
    wheel = wheels[-1]
    with tempfile.TemporaryDirectory() as site, zipfile.ZipFile(wheel) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        archive.extractall(site)
        imported, opened = seconds(IMPORT, site), seconds(OPEN, site)
    print(wheel)
    print(f"  to download           {wheel.stat().st_size / 1e6:6.1f} MB")
    print(f"  on disk               {unpacked / 1e6:6.1f} MB")
    print(f"  import duroxide       {imported * 1e3:6.1f} ms (median of {RUNS})")
    print(f"  first provider opened {opened * 1e3:6.1f} ms (loads the engine)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
