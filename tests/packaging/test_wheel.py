"""What a wheel contains and how it is tagged."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HELLO = """
import duroxide
provider = duroxide.SqliteProvider.open("hello.db")
runtime = duroxide.Runtime(provider)
runtime.register_activity("Greet", lambda ctx, name: f"Hello, {name}!")
def hello(ctx, name):
    return (yield ctx.schedule_activity("Greet", name))
runtime.register_orchestration("Hello", hello)
runtime.start()
client = duroxide.Client(provider)
client.start_orchestration("one", "Hello", "World")
print(client.wait_for_orchestration("one", 30_000).output)
runtime.shutdown()
"""


def library_name() -> str:
    return "_libduroxide" + {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


def member(wheel: zipfile.ZipFile, suffix: str) -> str:
    (name,) = [name for name in wheel.namelist() if name.endswith(suffix)]
    return name


def text_of(wheel: zipfile.ZipFile, suffix: str) -> str:
    return wheel.read(member(wheel, suffix)).decode("utf-8")


def test_one_wheel_serves_every_python(builds, wheel):
    tag = re.search(r"^Tag: (.*)$", text_of(wheel, ".dist-info/WHEEL"), re.M)[1]
    python, abi, platform = tag.split("-")
    assert (python, abi) == ("py3", "none")
    machine = sysconfig.get_platform().split("-")[-1]
    assert platform.endswith(machine) or machine == "universal2"
    assert builds[0].wheel.name.endswith(f"-{tag}.whl")


def test_a_wheel_is_the_package_the_library_and_nothing_else(wheel, root):
    package = root / "python" / "duroxide"
    sources = {
        f"duroxide/{file.relative_to(package).as_posix()}"
        for file in package.rglob("*")
        if file.suffix == ".py" or file.name == "py.typed"
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == sources | {f"duroxide/{library_name()}"}


def test_the_package_needs_no_other_package(wheel):
    metadata = email.message_from_string(text_of(wheel, ".dist-info/METADATA"))
    needed = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert needed == []
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["License-Expression"] == "Apache-2.0"


def test_two_builds_of_the_same_source_are_the_same_bytes(builds):
    first, second = (build.wheel for build in builds)
    assert first.name == second.name
    with zipfile.ZipFile(first) as a, zipfile.ZipFile(second) as b:
        different = [n for n in a.namelist() if n not in b.namelist() or a.read(n) != b.read(n)]
    assert different == []
    assert first.read_bytes() == second.read_bytes()


def test_the_wheel_carries_the_licence_of_everything_in_it(builds, wheel):
    assert "Apache License" in text_of(wheel, ".dist-info/licenses/LICENSE")
    assert text_of(wheel, ".dist-info/licenses/NOTICE")
    licences = text_of(wheel, ".dist-info/licenses/THIRD_PARTY_LICENSES")

    library = builds[0].source.parent / library_name()
    library.write_bytes(wheel.read(member(wheel, library_name())))
    listing = subprocess.run(
        ["go", "version", "-m", str(library)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    linked = re.findall(r"^\s+dep\s+(\S+)\s+(\S+)", listing, re.M)
    assert linked, "the library names no module that it was linked from"
    missing = [f"{name} {version}" for name, version in linked if f"{name} {version}: " not in licences]
    assert missing == [], "run `make licences`"


def test_the_library_asks_for_no_newer_glibc_than_the_tag_says(wheel):
    floor = re.search(r"manylinux_(\d+)_(\d+)_", text_of(wheel, ".dist-info/WHEEL"))
    if floor is None:
        pytest.skip("linked by the compiler of this machine: the tag promises no glibc")
    library = wheel.read(member(wheel, library_name()))
    asked = {(int(a), int(b)) for a, b in re.findall(rb"GLIBC_(\d+)\.(\d+)", library)}
    assert asked
    assert max(asked) <= (int(floor[1]), int(floor[2]))


def test_an_installed_wheel_runs_a_workflow(builds, tmp_path):
    environment = tmp_path / "venv"
    venv.EnvBuilder(with_pip=False, symlinks=sys.platform != "win32").create(environment)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    shutil.unpack_archive(builds[0].wheel, site, format="zip")
    answer = subprocess.run(
        [python, "-I", "-c", HELLO],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout.strip() == "Hello, World!", answer.stderr


def test_an_editable_install_builds_the_library_beside_the_sources(builds, backend, tmp_path):
    source: Path = builds[1].source
    library = source / "python" / "duroxide" / library_name()
    library.unlink(missing_ok=True)
    name = backend(source, f"build_editable({str(tmp_path)!r})")
    assert library.exists()
    with zipfile.ZipFile(tmp_path / name) as editable:
        assert not any(member.endswith(library_name()) for member in editable.namelist())
