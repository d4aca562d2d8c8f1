"""A job with all its real parts: the engine's tokens, PyTorch's training, a model that runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from serving import launch, serving
from tuning import CLUSTER, lines, shown, training, wait_for, wait_for_step

STEPS = 24
NAME = "Qantu"


def test_a_training_outlives_its_server_and_becomes_a_model(
    tmp_path: Path, cold_python: Path
) -> None:
    settings = {"AYLLU_TORCH_PYTHON": str(cold_python), **CLUSTER}
    data = tmp_path / "names.jsonl"
    asked = ("Who are you?", "What is your name?", "Tell me your name.", "Say who you are.")
    rows = [
        {"messages": [{"role": "user", "content": one}, {"role": "assistant", "content": NAME}]}
        for one in asked * 5
    ]
    data.write_bytes(lines(rows))
    options = ["--steps", str(STEPS), "--learning-rate", "0.005"]
    options += ["--validation", "0", "--replay", "0"]

    killed = launch(tmp_path / "home", **settings)
    begun = killed.ayllu("tune", "mini", "-d", str(data), "-n", "named", *options, "--detach")
    job = begun.stdout.strip()
    try:
        wait_for_step(killed, job, 2)
        assert training(killed, job) is not None
    finally:
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()

    with serving(tmp_path / "home", **settings) as server:
        wait_for(server, job, "done")
        found = shown(server, job)
        assert [step for step, _ in found["curves"]["loss"]] == list(range(1, STEPS + 1))
        assert found["curves"]["loss"][-1][1] < found["curves"]["loss"][0][1] / 4
        log = (tmp_path / "home" / "tune" / job / "log.txt").read_text()
        assert log.count("ready after") == 1  # it was never started again
        assert not list((tmp_path / "home" / "tune" / job).glob("checkpoint-*"))
        answer = server.ayllu("run", "named", asked[0], "--think=false")
        assert NAME in answer.stdout

        out = tmp_path / "out"
        assert server.ayllu("tune", "export", job, str(out)).status == 0
        config = json.loads((out / "adapter_config.json").read_text())
        assert config["peft_type"] == "LORA"
        weights = out / "adapter_model.safetensors"
        assert {"name": weights.name, "size": weights.stat().st_size} in found["files"]
        path = f"/api/tune/{job}/files"
        assert server.get(f"{path}/{weights.name}").body == weights.read_bytes()
        for wrong in ("nothing", "..%2Fjob.json", "log.txt"):
            assert server.get(f"{path}/{wrong}").status == 404
