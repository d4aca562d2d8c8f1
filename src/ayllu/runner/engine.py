"""Finds the llama-server to use and checks that it fits: built by the set-up, named, or on PATH.

Refuses an engine without a flag that we start it with, or whose RPC protocol is another than ours.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from ayllu.config import Settings
from ayllu.errors import ILLEGAL_INSTRUCTION, EngineMissingError
from ayllu.runner.rpc_hello import HELLO, HELLO_REPLY_BYTES, read_hello, version_text

RPC_PROTOCOL = (7, 0)
"""Major and minor version of the RPC protocol that the pinned engine speaks."""

REQUIRED_FLAGS = (
    "--offline",
    "--no-ui",
    "--cache-ram",
    "--slot-save-path",
    "--load-mode",
    "--context-shift",
    "--no-prefill-assistant",
    "--api-key",
    "--rpc",
    "--spec-type",
    "--spec-draft-model",
    "--lora-init-without-apply",
)
"""Flags of llama-server that the runner or the cluster uses; an older engine lacks some."""

REMEDY = "run `make setup` to build one, or set AYLLU_LLAMA_BIN to a folder with llama-server"

_PROBE_SECONDS = 20.0


class Engine(Struct, frozen=True):
    """A llama.cpp that was found. `commit` is empty where it names none."""

    folder: Path
    version: str
    commit: str
    source: str

    @property
    def server(self) -> Path:
        """The llama-server program."""
        return tool_path(self.folder, "llama-server")

    @property
    def rpc_server(self) -> Path:
        """The RPC worker program (its name changed once)."""
        for name in ("ggml-rpc-server", "rpc-server"):
            if (path := tool_path(self.folder, name)).exists():
                return path
        return tool_path(self.folder, "ggml-rpc-server")


class EngineFacts(Struct, frozen=True):
    """What `ayllu engine info` shows beyond the engine itself."""

    rpc_protocol: str
    devices: tuple[str, ...]
    cpu_features: tuple[str, ...]
    backends: tuple[str, ...]


def tool_path(folder: Path, name: str) -> Path:
    """The path of one of llama.cpp's programs, with Windows' suffix there."""
    return folder / (f"{name}.exe" if sys.platform == "win32" else name)


def find_engine(settings: Settings) -> Engine:
    """The first usable engine: AYLLU_LLAMA_BIN, the built one, PATH.

    An engine that is not ours is checked first. Raises EngineMissingError with the remedy.
    """
    if settings.llama_bin:
        return _check_foreign(_folder_of(Path(settings.llama_bin).expanduser()), "AYLLU_LLAMA_BIN")
    built = built_folder()
    if built is not None:
        return _describe(built, "built")
    on_path = shutil.which("llama-server")
    if on_path:
        return _check_foreign(Path(on_path).resolve().parent, "PATH")
    raise EngineMissingError(f"there is no llama-server on this machine: {REMEDY}")


def built_folder() -> Path | None:
    """Where the set-up put the built programs, without importing the package that holds them."""
    spec = find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    return folder if tool_path(folder, "llama-server").exists() else None


def engine_facts(engine: Engine) -> EngineFacts:
    """Ask the engine's programs what they can do; takes well under a second."""
    # Without a model to load it names its CPU features and stops.
    start = _output(engine.server, "--model", "/nonexistent.gguf", "--offline", "-lv", "4")
    features = re.search(r"system_info:.*", start)
    words = features.group() if features else ""
    libraries = sorted(
        {path.name.split(".")[0] for path in _library_folder(engine).glob("libggml-*")}
    )
    return EngineFacts(
        rpc_protocol=version_text(rpc_protocol(engine.rpc_server)),
        devices=list_devices(engine),
        cpu_features=tuple(re.findall(r"(\w+) = 1\b", words)),
        backends=tuple(
            name.removeprefix("libggml-") for name in libraries if name != "libggml-base"
        ),
    )


def list_devices(engine: Engine) -> tuple[str, ...]:
    """The graphics cards that the engine can use, in its own words; none on a CPU."""
    lines = _output(engine.server, "--list-devices").splitlines()
    return tuple(line.strip() for line in lines if line.startswith("  ") and "(none)" not in line)


def rpc_protocol(program: Path) -> tuple[int, int, int] | None:
    """The RPC protocol version a worker answers HELLO with, or None where it answers nothing.

    Starts the worker on a free loopback port and ends it.
    """
    if not program.exists():
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return _hello(port, worker)
    finally:
        worker.kill()
        worker.wait()


def _hello(port: int, worker: subprocess.Popen[bytes]) -> tuple[int, int, int] | None:
    deadline = time.monotonic() + _PROBE_SECONDS
    while time.monotonic() < deadline and worker.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(HELLO)
                reply = b""
                while len(reply) < HELLO_REPLY_BYTES and (piece := connection.recv(64)):
                    reply += piece
        except OSError:
            time.sleep(0.02)
            continue
        try:
            return read_hello(reply)
        except ValueError:
            return None
    return None


def _check_foreign(folder: Path, source: str) -> Engine:
    engine = _describe(folder, source)
    known = _output(engine.server, "--help")
    missing = [flag for flag in REQUIRED_FLAGS if flag not in known]
    if missing:
        raise EngineMissingError(
            f"the llama-server in {folder} ({source}, version {engine.version}) is too old: "
            f"it has no {missing[0]}; {REMEDY}"
        )
    protocol = rpc_protocol(engine.rpc_server)
    if protocol is not None and protocol[:2] != RPC_PROTOCOL:
        raise EngineMissingError(
            f"the engine in {folder} ({source}) speaks RPC protocol "
            f"{version_text(protocol)}, and Ayllu's machines speak "
            f"{version_text(RPC_PROTOCOL)}; {REMEDY}"
        )
    return engine


def _describe(folder: Path, source: str) -> Engine:
    server = tool_path(folder, "llama-server")
    if not server.exists():
        raise EngineMissingError(f"there is no llama-server in {folder} ({source}); {REMEDY}")
    words = _output(server, "--version")
    found = re.search(r"version: (\S+)(?:.*?([0-9a-f]{7,40})\))?", words)
    if found is None:
        raise EngineMissingError(f"{server} does not say its version; {REMEDY}")
    return Engine(folder, found.group(1), found.group(2) or "", source)


def _folder_of(path: Path) -> Path:
    """AYLLU_LLAMA_BIN may name the folder or the program."""
    return path.parent if path.is_file() else path


def _library_folder(engine: Engine) -> Path:
    beside = engine.folder.parent / "lib"
    return beside if beside.is_dir() else engine.folder


def _output(program: Path, *arguments: str) -> str:
    """What a short run prints. Raises EngineMissingError when the program cannot run here."""
    try:
        run = subprocess.run(
            [program, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineMissingError(f"{program} cannot be run: {error}; {REMEDY}") from error
    if run.returncode == -signal.SIGILL:
        raise EngineMissingError(f"{program} {ILLEGAL_INSTRUCTION}")
    return run.stdout.decode("utf-8", "replace")
