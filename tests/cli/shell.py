from __future__ import annotations

import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import ExitStack
from fcntl import ioctl
from pathlib import Path
from typing import Any

import ayllu

HERE = Path(__file__).parent
SOURCE = Path(ayllu.__file__).parents[1]
COMMAND = [sys.executable, "-m", "ayllu"]
ON_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for number in range(3):
    os.dup2(terminal, number)
os.execv(sys.argv[2], sys.argv[2:])
"""
ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")
DRAWN = re.compile(rf"\x1b\[(\d+)D|({ESCAPE.pattern})|(.|\n)")


def screen(output: str) -> list[str]:
    """The lines that a terminal shows of an output that moves only back and to the start."""
    lines = [""]
    for back, escape, char in DRAWN.findall(output.replace("\r\n", "\n")):
        if back:
            lines[-1] = lines[-1][: -int(back)]
        elif char == "\n":
            lines.append("")
        elif char == "\r":
            lines[-1] = ""
        elif not escape:
            lines[-1] += char
    return lines


def wait_until(happened: Callable[[], bool], otherwise: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


class Fake:
    """A running fake server."""

    def __init__(self, process: subprocess.Popen[str], record: Path) -> None:
        assert process.stdout is not None
        self.host = f"127.0.0.1:{process.stdout.readline().strip()}"
        self._record = record

    def facts(self) -> list[dict[str, Any]]:
        text = self._record.read_text("utf-8") if self._record.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def asked(self, key: str) -> list[Any]:
        """The bodies that came to "METHOD path"."""
        return [
            fact["body"]
            for fact in self.facts()
            if f"{fact.get('method')} {fact.get('path')}" == key
        ]

    def wait_until_asked(self, key: str) -> None:
        wait_until(lambda: bool(self.asked(key)), f"nobody asked {key}")

    def wait_until_left(self, path: str) -> None:
        wait_until(lambda: {"left": path} in self.facts(), "the client did not leave")


class Terminal:
    """A command on a pseudo-terminal of its own, as its session's controlling one."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, os.ttyname(slave), *COMMAND, *arguments],
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def send(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str, seconds: float = 15) -> str:
        """Read until the text appears, without colours and cursor moves; return what came up to it.

        What was returned once is not looked at again.
        """
        deadline = time.monotonic() + seconds
        while text not in (plain := ESCAPE.sub("", self.seen)):
            assert self._read(deadline), f"{text!r} did not come; there is {self.seen!r}"
        end = plain.index(text) + len(text)
        self.seen = plain[end:]
        return plain[:end]

    def exit_status(self, seconds: float = 15) -> int:
        """Read to the end of the output and wait for the command."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 1))

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # nobody has the other side open: not yet, or not any more
            time.sleep(0.02)
            return self.process.poll() is None and time.monotonic() < deadline
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


class Shell:
    """Runs the real command against the fake server, with a home of its own."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        self.home = folder / "home"
        self.folder = folder
        self._cleanup = cleanup
        kept = {"PATH", "LANG", "TMPDIR"}
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "PYTHONPATH": str(SOURCE),
            "PYTHONUTF8": "1",
            "AYLLU_HOME": str(self.home),
            "AYLLU_HOST": "127.0.0.1:1",
            "AYLLU_NO_AUTOSTART": "1",
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        }

    @staticmethod
    def json(value: object) -> str:
        return json.dumps(value)

    def serve(self, script: dict[str, Any]) -> Fake:
        """Start a fake server and talk to it from now on."""
        replies = {
            key: value if isinstance(value, list) else [value] for key, value in script.items()
        }
        path = self.folder / "script.json"
        path.write_text(json.dumps(replies), "utf-8")
        process = subprocess.Popen(
            [sys.executable, "-S", str(HERE / "fake_server.py"), str(path), str(path) + ".record"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._cleanup.callback(end, process)
        fake = Fake(process, Path(f"{path}.record"))
        self.environment["AYLLU_HOST"] = fake.host
        return fake

    def run(
        self, *arguments: str, piped: bytes | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=piped or b"",
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            timeout=40,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*COMMAND, *arguments], env=self.environment, cwd=self.folder, **streams
        )
        self._cleanup.callback(end, process)
        return process

    def open_terminal(self, *arguments: str, **environment: str) -> Terminal:
        terminal = Terminal(list(arguments), self.environment | environment)
        self._cleanup.callback(terminal.close)
        return terminal


def end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
