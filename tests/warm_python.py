"""A Python whose PyTorch is imported already: importing it takes 4 s, and 150 tests start one.

`warm(python, folder)` makes an executable that takes the place of a Python. Behind it stands one
that has imported the libraries and forks for each program: a process as real as any, with its own
files, environment, signals and end, but for the first seconds.

    python -P warm_python.py SOCKET        serves, until its standard input ends
    python -I -S warm_python.py SOCKET ...    one program: the arguments are those of `python`
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_LARGEST = 1 << 20
_LIBRARIES = ("torch", "transformers", "transformers.modeling_utils", "peft", "safetensors.torch")
"""Not gguf: the converters bring their own."""


@contextlib.contextmanager
def warm(python: Path, folder: Path) -> Iterator[Path]:
    """An executable that does what `python` does, sooner."""
    here, place = Path(__file__).resolve(), folder / "socket"
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
    serving = subprocess.Popen(
        [python, "-P", here, place],
        env=environment | _quiet(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    stub = folder / "python"
    stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{here}" "{place}" "$@"\n')
    stub.chmod(0o755)
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline() == b"ready\n", "the Python with PyTorch did not start"
        yield stub
    finally:
        serving.communicate()


def _quiet() -> dict[str, str]:
    """What the trainer sets before it imports the libraries, which look once."""
    return {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _run(place: str) -> None:
    """Have the arguments run, and be its process: its signals, its end."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(place)
        said = {
            "arguments": sys.argv[2:],
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        data = json.dumps(said).encode()
        files = array.array("i", [0, 1, 2])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]
        line.sendmsg([len(data).to_bytes(4, "big")], rights)
        line.sendall(data)
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda number, _: line.sendall(bytes([number])))
        ended = line.recv(1)
    code = ended[0] if ended else 1
    if code >= 128:
        signal.signal(code - 128, signal.SIG_DFL)
        os.kill(os.getpid(), code - 128)
    sys.exit(code)


class _Host:
    """Forks for each program, hands on its signals, and says how it ended."""

    def __init__(self, place: str) -> None:
        self._lines: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(place)
        self._listener.listen(64)
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)  # noqa: FBT003 - its only argument
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._watch(self._listener, self._accept)
        self._watch(self._woken, self._reap)
        self._watch(sys.stdin, self._end)

    def serve(self) -> None:
        """Do so for ever."""
        while True:
            for key, _ in self._selector.select():
                if self._selector.get_map().get(key.fileobj) is key:
                    key.data()

    def _watch(self, what: Any, heard: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, heard)

    def _accept(self) -> None:
        line, _ = self._listener.accept()
        if pid := _begin(line):
            self._lines[pid] = line
            self._watch(line, lambda: self._hear(pid, line))

    def _hear(self, pid: int, line: socket.socket) -> None:
        """A signal to hand on; without one the program's own process is gone."""
        try:
            data = line.recv(1)
        except ConnectionError:
            data = b""
        os.kill(pid, data[0] if data else signal.SIGKILL)
        if not data:
            self._selector.unregister(line)

    def _reap(self) -> None:
        self._woken.recv(4096)
        for pid in list(self._lines):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._tell(self._lines.pop(pid), os.waitstatus_to_exitcode(status))

    def _tell(self, line: socket.socket, code: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(line)
        with contextlib.suppress(OSError):
            line.sendall(bytes([code if code >= 0 else 128 - code]))
        line.close()

    def _end(self) -> None:
        for pid in self._lines:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _begin(line: socket.socket) -> int:
    """Fork for a program; returns its pid, 0 where it did not come to that."""
    data, files, _, _ = socket.recv_fds(line, 4, 3)
    size = int.from_bytes(data, "big")
    text = b""
    while len(text) < size and (more := line.recv(min(size - len(text), _LARGEST))):
        text += more
    if len(files) < 3 or len(text) < size:
        line.close()
        return 0
    if pid := os.fork():
        for one in files:
            os.close(one)
        return pid
    _be(json.loads(text), files)
    return 0


def _be(said: dict[str, Any], files: list[int]) -> None:
    """Be the program, to its end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for place, one in enumerate(files):
            os.dup2(one, place)
        os.closerange(3, 4096)
        os.chdir(said["folder"])
        os.environ.clear()
        os.environ.update(said["environment"])
        arguments = said["arguments"]
        while arguments[0] in {"-P", "-I", "-u"}:
            del arguments[0]
        try:
            if arguments[0] == "-c":
                sys.argv = ["-c", *arguments[2:]]
                exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - that is what it says
            else:
                sys.argv = arguments
                runpy.run_path(arguments[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:  # noqa: BLE001 - as Python ends with one
            traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _main(place: str, *arguments: str) -> None:
    if arguments:
        _run(place)
    for name in _LIBRARIES:
        importlib.import_module(name)
    host = _Host(place)
    os.write(1, b"ready\n")
    host.serve()


if __name__ == "__main__":
    _main(*sys.argv[1:])
