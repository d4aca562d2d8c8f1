"""How soon machines of an ayllu find each other and notice who is gone, and what that costs.

Real processes in network namespaces (root, Linux): `ayllu serve` on three machines, and forty
members in four processes that do nothing else. Strangers try to get in meanwhile.

make bench SCRIPTS=bench/cluster.py
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from ayllus import Ayllu, homes
from lan import Lan, Machine, Program, a_lan, missing, paths

WATCH = str(Path(__file__).resolve().parent.parent / "tests" / "cluster" / "watcher.py")
IDLE_SECONDS = 20.0
MEMBERS, PROCESSES = 40, 4


def figure(what: str, value: float, target: float, unit: str = "s") -> None:
    """Print one figure beside what it should be at most."""
    verdict = "" if value <= target else "   MISSED"
    print(f"{what:64} {value:8.3f} {unit:3} (at most {target:g}){verdict}", flush=True)


class Server:
    """`ayllu serve` on a machine, and a program beside it that reads its events."""

    def __init__(self, machine: Machine, home: Path, *, cluster: str = "auto") -> None:
        self.machine = machine
        env = {
            **paths(),
            "AYLLU_HOME": str(home),
            "AYLLU_HOST": "127.0.0.1:11434",
            "AYLLU_CLUSTER": cluster,
        }
        self.program = machine.run(sys.executable, "-m", "ayllu", "serve", env=env)
        self.events = machine.run(sys.executable, WATCH, "127.0.0.1:11434", env=paths())

    def cost(self, seconds: float) -> tuple[float, float]:
        """Percent of a core over some time, and resident MB."""
        process = psutil.Process(self.program.process.pid)
        before = process.cpu_times()
        time.sleep(seconds)
        after = process.cpu_times()
        used = after.user + after.system - before.user - before.system
        return 100 * used / seconds, process.memory_info().rss / 1e6


def meeting(servers: Sequence[Server], since: float) -> float:
    """Seconds from the start of the last process until each knows of all."""
    said = [one.events.wait(there=len(servers) - 1) for one in servers]
    return float(max(line["at"] for line in said)) - since


def gone(watching: Sequence[Server], node: str, since: float) -> float:
    """Seconds until a machine is gone from every list."""
    said = [one.events.wait(since, event="left", node=node) for one in watching]
    return float(max(line["at"] for line in said)) - since


def three(lan: Lan, places: Sequence[Path], ids: Sequence[str]) -> list[Server]:
    """Three servers that start at once, lose one in each way, and find it again."""
    servers = [Server(*pair) for pair in zip(lan.machines[:3], places[:3], strict=True)]
    last = servers[-1].program.began
    met = meeting(servers, last)
    listening = max(one.events.wait(event="listening")["at"] for one in servers) - last
    figure("three servers started at once know each other, from start", met, 1)
    figure("  from when the last one's API answers", max(met - listening, 0.0), 1)
    first, second, third = servers
    now = time.time()
    third.program.process.kill()
    figure("a killed server is gone from every list", gone(servers[:2], ids[2], now), 0.5)
    third.events.kill()
    third = Server(lan.machines[2], places[2])
    said = [one.events.wait(third.program.began, there=2) for one in (first, second)]
    said.append(third.events.wait(there=2))
    opened = third.events.wait(event="listening")["at"]
    met = max(line["at"] for line in said)
    figure("a third server is known to all and knows all, from start", met - third.program.began, 1)
    figure("  from when its API answers", max(met - opened, 0.0), 1)
    now = time.time()
    lan.machines[2].plug(into=False)
    figure("a server whose cable was cut is gone", gone((first, second), ids[2], now), 3)
    now = time.time()
    lan.machines[2].plug(into=True)
    first.events.wait(now, event="joined", node=ids[2])
    back = second.events.wait(now, event="joined", node=ids[2])["at"]
    print(f"{'  and is back after the cable is':64} {back - now:8.3f} s")
    now = time.time()
    third.program.process.send_signal(signal.SIGSTOP)
    figure("a frozen server is gone", gone((first, second), ids[2], now), 4)
    now = time.time()
    third.program.process.send_signal(signal.SIGCONT)
    back = first.events.wait(now, event="joined", node=ids[2])["at"]
    print(f"{'  and is back after it goes on':64} {back - now:8.3f} s")
    return [first, second, third]


def strangers(lan: Lan, root: Path, revoked: Path, inside: Sequence[Server]) -> None:
    """Who is no member tries to get in; prints what it learned and what was learned of it."""
    known = [f"{machine.address}:17446" for machine in lan.machines[:2]]
    outside = lan.machines[3]
    other, _ = homes(root / "other", 1)
    for who, home in (
        ("with another CA's certificate", other[0]),
        ("that was revoked", revoked),
    ):
        now = time.time()
        stranger = outside.member(home, peers=known)
        opened = stranger.find(event="open")
        end = time.time() + 4
        while time.time() < end and opened is None:
            opened = stranger.find(event="open")
            time.sleep(0.05)
        time.sleep(2)
        learned = sum(line.get("event") == "joined" for line in stranger.lines)
        seen = sum(one.events.find(now, event="joined") is not None for one in inside)
        state = "refused" if opened else "could not even start"
        print(f"a node {who}: {state}; it learned of {learned} and {seen} of it (0 and 0)")
        stranger.kill()
    plain = outside.run(sys.executable, "-c", _PLAIN, lan.machines[0].address)
    plain.process.wait(30)
    print(f"plain TCP to the bus got {plain.wait(event='plain')['bytes']} bytes of data (0)")


_PLAIN = """
import json, os, socket, sys, time
with socket.create_connection((sys.argv[1], 17446), 10) as plain:
    plain.sendall(os.urandom(400))
    data = b""
    try:
        while piece := plain.recv(4096):
            data += piece
    except OSError:
        pass
alert = len(data) if data[:1] == b"\\x15" else 0
print(json.dumps({"at": time.time(), "event": "plain", "bytes": len(data) - alert}))
"""


def forty(root: Path) -> None:
    """Members that do nothing else, ten to a process."""
    places, _ = homes(root, MEMBERS)
    each = MEMBERS // PROCESSES
    with a_lan(PROCESSES) as lan:
        began = time.time()
        programs = [
            machine.member(*places[number * each : (number + 1) * each])
            for number, machine in enumerate(lan.machines)
        ]
        for program in programs:
            wait_for_all(program, each)
        met = max(full(program) for program in programs)
        opened = max(
            line["at"]
            for program in programs
            for line in program.lines
            if line.get("event") == "open"
        )
        figure(
            f"{MEMBERS} members in {PROCESSES} processes all know all, from start", met - began, 5
        )
        figure("  from when the last one's bus was open", max(met - opened, 0.0), 5)


def wait_for_all(program: Program, members: int) -> None:
    """Wait until all buses of a process are open."""
    end = time.time() + 60
    while sum(line.get("event") == "open" for line in program.lines) < members:
        if time.time() > end:
            sys.exit(f"not all buses opened: {program.lines[-5:]}")
        time.sleep(0.05)


def full(program: Program) -> float:
    """When all members of a process knew of all."""
    names = {line["me"] for line in program.lines if "me" in line}
    said = [program.wait(me=name, there=MEMBERS - 1, seconds=60) for name in names]
    return float(max(line["at"] for line in said))


def main() -> None:
    """Print the figures."""
    reason = missing()
    if reason:
        sys.exit(f"{reason}: nothing is measured")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ayllu = Ayllu(root / "ayllu")
        ids = [ayllu.member(str(number)).node for number in range(4)]
        ayllu.unlock()
        places = [root / "ayllu" / str(number) for number in range(4)]
        with a_lan(4) as lan:
            servers = three(lan, places, ids)
            time.sleep(5)
            with_cpu, with_rss = servers[0].cost(IDLE_SECONDS)
            gone_node = Server(lan.machines[3], places[3])
            servers[0].events.wait(gone_node.program.began, event="joined", node=ids[3])
            now = time.time()
            revoke(servers[0], ids[3])
            figure("a revoked server is gone", gone(servers[:2], ids[3], now), 1)
            gone_node.program.kill()
            strangers(lan, root, places[3], servers[:2])
            for server in servers:
                server.program.kill()
            alone = Server(lan.machines[0], root / "alone", cluster="off")
            alone.events.wait(event="listening")
            time.sleep(5)
            cpu, rss = alone.cost(IDLE_SECONDS)
        figure("idle membership of three: share of a core", with_cpu - cpu, 1, "%")
        figure("  memory besides the server's", with_rss - rss, 80, "MB")
        forty(root / "forty")


def revoke(server: Server, node: str) -> None:
    """Have the admin machine revoke another."""
    program = (
        "import sys, urllib.request as u;"
        "u.urlopen(u.Request('http://127.0.0.1:11434/api/cluster/revoke',"
        "data=('{\"node\": \"' + sys.argv[1] + '\"}').encode(),"
        "headers={'content-type': 'application/json'}), timeout=30)"
    )
    done = server.machine.run(sys.executable, "-c", program, node)
    if done.process.wait(40) != 0:
        sys.exit(f"the machine could not be revoked: {done.lines}")


if __name__ == "__main__":
    main()
