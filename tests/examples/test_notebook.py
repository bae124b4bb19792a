"""The notebook runs from its first cell to its last in a kernel, and its cells show what they are there to show."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

NOTEBOOK = pathlib.Path(__file__).resolve().parents[2] / "examples" / "notebook" / "tour.ipynb"

# Runs a notebook behind a cell of ours, and prints what each of its own cells gives.
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], 4)
notebook.cells.insert(0, nbformat.v4.new_code_cell(sys.argv[2]))
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
for cell in notebook.cells[1:]:
    for output in cell.get("outputs", ()):
        print(output.get("text") or output["data"]["text/plain"], end="")
        print("" if output.get("text") else "\\n", end="")
"""

# Gives the runtimes of the kernel another default for live_executions.
REPLAYED = """
from duroxide import _options
check = _options._OPTIONS["live_executions"][1]
_options._OPTIONS["live_executions"] = (0, check)
"""

SHOWN = """\
[4, 'Oslo']
100
1 OrchestrationStarted
2 ActivityScheduled
3 ActivityScheduled
4 ActivityScheduled
5 ActivityCompleted
6 ActivityCompleted
7 ActivityCompleted
8 OrchestrationCompleted
[[4, 'Oslo'], 'Oslo with 4 degrees']
True
"""


def test_notebook_shows_what_it_promises(mode: str, tmp_path: pathlib.Path) -> None:
    # A kernel keeps its history and its connection files in the home directory otherwise.
    homes = {name: str(tmp_path / name) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    path = os.pathsep.join(p for p in sys.path if p)
    answer = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), REPLAYED if mode == "replayed" else "pass"],
        env={**os.environ, **homes, "JUPYTER_PLATFORM_DIRS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == SHOWN


def test_notebook_is_kept_without_outputs() -> None:
    import nbformat

    notebook = nbformat.read(NOTEBOOK, 4)
    assert [cell.id for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
