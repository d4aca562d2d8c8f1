"""`ayllu plan`: the table, JSON, and refusals."""

from __future__ import annotations

import json
import re

from cli.shell import Shell
from serving import Serving

from ayllu.cli.plan import Candidate, Plan, plan_text
from ayllu.cli.wire import Stage

GB = 10**9
SPLIT = Plan(
    model="big",
    context=8192,
    slots=1,
    layers=80,
    size=70 * GB,
    candidates=(
        Candidate(
            "split",
            (Stage("desk", 0, 50, 45 * GB), Stage("lap\x1b[31mtop", 50, 30, 27 * GB)),
            0.5714,
            72.3,
            0.0,
            "no machine has room for 72.0 GB",
        ),
        Candidate("local", (Stage("desk", 0, 80, 72 * GB),), 12.34, 1.5, 70.0, "fits here"),
    ),
)


def test_the_candidates_are_a_table_and_the_best_is_marked() -> None:
    about, _, header, best, other = plan_text(SPLIT).splitlines()
    assert about == "big: 70 GB in 80 layers, 1 slot of 8192 tokens of context."
    assert re.split(r"  +", header.strip()) == [
        "KIND",
        "MACHINES",
        "TOK/S",
        "FIRST TOKEN",
        "WAIT",
        "MEMORY",
        "WHY",
    ]
    cells = re.split(r"  +", best)
    assert cells[:2] == ["*", "split"]
    assert cells[3:] == ["0.57", "72 s", "-", "45 GB + 27 GB", "no machine has room for 72.0 GB"]
    assert "\x1b" not in best
    assert re.split(r"  +", other.strip()) == [
        "local",
        "desk",
        "12",
        "1.5 s",
        "70 s",
        "72 GB",
        "fits here",
    ]


def test_a_real_server_plans(server: Serving) -> None:
    done = server.ayllu("plan", "mini", "--ctx", "512", "--slots", "2")
    assert done.status == 0, done.stderr
    assert "in 6 layers, 2 slots of 512 tokens of context." in done.stdout
    assert re.search(r"^\*  local  ", done.stdout, re.MULTILINE)
    done = server.ayllu("plan", "mini", "--json")
    assert json.loads(done.stdout)["candidates"][0]["kind"] == "local"
    done = server.ayllu("plan", "nobody")
    assert (done.status, done.stderr) == (1, "Error: model 'nobody' not found\n")


def test_a_refusal_is_an_error(shell: Shell) -> None:
    refusal = "needs 70 GB; desk gives 12 GB: 58 GB are missing"
    answer = {
        "model": "big",
        "context": 1,
        "slots": 1,
        "layers": 80,
        "size": 7,
        "candidates": [],
        "refusal": refusal,
    }
    shell.serve({"POST /api/cluster/plan": {"body": shell.json(answer)}})
    done = shell.run("plan", "big")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: big {refusal}\n"
