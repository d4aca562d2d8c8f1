"""Models and adapters in Hugging Face's form, imported by a real server and its command line."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from hf_maker import make_hf, run_torch, write_json
from serving import Serving, serving, wait_until
from small_disk import mounted

from ayllu.gguf.read import read_header

GREEDY = {"temperature": 0, "num_predict": 60}
QUESTIONS = ("What is two plus two?", "¿De qué color es el cielo?")
OPENING = "Once upon a time"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, torch_python: Path) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("home")
    with serving(home, AYLLU_TORCH_PYTHON=str(torch_python)) as running:
        yield running


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory, mini_gguf: Path) -> Path:
    return make_hf(tmp_path_factory.mktemp("hf") / "mini", mini_gguf)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory, mini_gguf: Path) -> Path:
    """The same in F32, which PyTorch and the engine both reckon with as it is."""
    return make_hf(tmp_path_factory.mktemp("hf") / "mini", mini_gguf, dtype="F32")


def upload(server: Serving, folder: Path) -> dict[str, str]:
    """A folder's files, as a create's request names them."""
    return {path.name: server.upload(path.read_bytes()) for path in sorted(folder.iterdir())}


def answers(server: Serving, model: str) -> list[str]:
    return [
        server.post(
            "/api/chat",
            {
                "model": model,
                "messages": [{"role": "user", "content": question}],
                "stream": False,
                "options": GREEDY,
            },
        ).json["message"]["content"]
        for question in QUESTIONS
    ]


def continued(server: Serving, model: str) -> str:
    body = {"model": model, "prompt": OPENING, "raw": True, "stream": False, "options": GREEDY}
    return str(server.post("/api/generate", body).json["response"])


def blobs(server: Serving) -> set[str]:
    return {path.name for path in (server.home / "models" / "blobs").iterdir()}


def file_type(server: Serving, model: str) -> str:
    shown = server.post("/api/show", {"model": model}).json
    return str(shown["details"]["quantization_level"])


def test_a_folder_of_safetensors_says_what_its_gguf_says(
    server: Serving, mini: Path, mini_gguf: Path
) -> None:
    ran = server.ayllu("create", "whole", str(mini))
    assert ran.status == 0, ran.stderr
    assert "converting model\n" in ran.stderr
    assert file_type(server, "whole") == "F16"
    assert answers(server, "whole") == answers(server, "mini")
    shown = [server.post("/api/show", {"model": name}).json for name in ("whole", "mini")]
    assert [one["capabilities"] for one in shown] == [shown[1]["capabilities"]] * 2
    (made,) = (path for path in (server.home / "models/blobs").iterdir() if is_gguf(path))
    assert tensors(made) == tensors(mini_gguf)


def is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def tensors(path: Path) -> dict[str, bytes]:
    header, data = read_header(path), path.read_bytes()
    starts = {one.name: (header.data_offset + one.offset, one.size) for one in header.tensors}
    return {name: data[start : start + size] for name, (start, size) in starts.items()}


def test_parts_in_bf16_are_quantized_on_the_way(
    server: Serving, tmp_path: Path, mini_gguf: Path
) -> None:
    folder = make_hf(tmp_path / "parts", mini_gguf, dtype="BF16", shards=3)
    files = upload(server, folder)
    before = blobs(server)
    lines = server.post("/api/create", {"model": "q", "files": files, "quantize": "q8_0"}).lines
    assert lines[-1] == {"status": "success"}
    converting = [line for line in lines if line["status"] == "converting model"]
    assert converting[0]["total"] == sum(
        path.stat().st_size for path in folder.glob("*.safetensors")
    )
    assert converting[-1]["completed"] == converting[-1]["total"] > 10_000_000
    assert any(line["status"] == "quantizing BF16 model to Q8_0" for line in lines)
    assert file_type(server, "q") == "Q8_0"
    assert answers(server, "q")
    made = [server.home / "models" / "blobs" / name for name in blobs(server) - before]
    assert len([path for path in made if is_gguf(path)]) == 1  # what was in between is gone


def test_pytorchs_own_files_are_imported(
    server: Serving, tmp_path: Path, mini: Path, torch_python: Path
) -> None:
    folder = tmp_path / "torch"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((mini / name).read_bytes())
    script = (
        "import sys, torch; from safetensors.torch import load_file;"
        "torch.save(load_file(sys.argv[1] + '/model.safetensors'), sys.argv[2])"
    )
    run_torch(torch_python, script, mini, folder / "pytorch_model.bin")
    modelfile = folder / "Modelfile"
    modelfile.write_text("FROM .\nPARAMETER temperature 0\n", "utf-8")
    ran = server.ayllu("create", "from-torch", "-f", str(modelfile))
    assert ran.status == 0, ran.stderr
    assert file_type(server, "from-torch") == "F16"
    assert answers(server, "from-torch") == answers(server, "mini")


SEEING = """
import json, sys, torch
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, set_seed
source, target = sys.argv[1:]
set_seed(3)
with open(source + "/config.json") as file:
    text = json.load(file) | {"num_hidden_layers": 2, "architectures": ["VLlama3ForCausalLM"]}
vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
          "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
config = Idefics3Config(vision_config=vision, text_config=text, image_token_id=2047,
                        scale_factor=2, pad_token_id=0)
Idefics3ForConditionalGeneration(config).to(torch.float16).save_pretrained(target)
"""


def test_what_a_model_sees_with_becomes_a_projector(
    server: Serving, tmp_path: Path, mini: Path, torch_python: Path
) -> None:
    folder = tmp_path / "seeing"
    run_torch(torch_python, SEEING, mini, folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((mini / name).read_bytes())
    half = [0.5] * 3
    write_json(
        folder / "preprocessor_config.json",
        {"image_mean": half, "image_std": half, "size": {"longest_edge": 112}},
    )
    ran = server.ayllu("create", "seeing", str(folder))
    assert ran.status == 0, ran.stderr
    shown = server.post("/api/show", {"model": "seeing"}).json
    assert "vision" in shown["capabilities"]
    assert shown["details"]["families"] == ["llama", "clip"]
    assert answers(server, "seeing")  # the engine has loaded both


PEFT = """
import sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
folder, target, opening = sys.argv[1:]
set_seed(7)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
projections = ("q", "k", "v", "o", "gate", "up", "down")
config = LoraConfig(r=8, lora_alpha=16, target_modules=[f"{name}_proj" for name in projections],
                    use_rslora=True, init_lora_weights=False)
model = get_peft_model(model, config)
with torch.no_grad():
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.mul_(0.6)
    ids = tokenizer(opening, return_tensors="pt").input_ids
    told = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=60,
                          do_sample=False, pad_token_id=0, eos_token_id=ends)
model.save_pretrained(target)
print(tokenizer.decode(told[0][ids.shape[1]:], skip_special_tokens=True), end="")
"""


def weights_of(server: Serving, model: str) -> str:
    """Where a model's GGUF lies."""
    modelfile = server.post("/api/show", {"model": model}).json["modelfile"]
    return str(re.findall(r"(?m)^FROM (.+)$", modelfile)[0])


def test_an_adapter_of_pefts_says_what_it_says_in_pytorch(
    server: Serving, tmp_path: Path, exact: Path, torch_python: Path
) -> None:
    lora = tmp_path / "lora"
    told = run_torch(torch_python, PEFT, exact, lora, OPENING)
    assert not told.startswith(continued(server, "mini")[:40])
    half = shutil.copytree(lora, tmp_path / "half")
    config = json.loads((half / "adapter_config.json").read_text("utf-8"))
    write_json(half / "adapter_config.json", config | {"lora_alpha": config["lora_alpha"] / 2})
    # It is converted by the model's own folder, and then by the header of its GGUF, in two halves.
    halves = "ADAPTER ./lora\nADAPTER ./half\nPARAMETER adapter_scale 0.5"
    for name, adapters in (("by-folder", "ADAPTER ./lora"), ("by-header", halves)):
        source = weights_of(server, "by-folder") if name == "by-header" else exact
        modelfile = tmp_path / "Modelfile"
        modelfile.write_text(f"FROM {source}\n{adapters}\n", "utf-8")
        ran = server.ayllu("create", name, "-f", str(modelfile))
        assert "converting adapter\n" in ran.stderr
        assert ran.status == 0, ran.stderr
        assert file_type(server, name) == "F32"
        assert continued(server, name) == told


def test_an_adapter_for_another_model_is_refused(
    server: Serving, tmp_path: Path, chat_gguf: Path, torch_python: Path
) -> None:
    script = (
        "import sys, torch; from safetensors.torch import save_file;"
        "name = 'base_model.model.model.layers.0.self_attn.v_proj.lora_';"
        "save_file({name + 'A.weight': torch.ones(4, 96), name + 'B.weight': torch.ones(96, 4)},"
        "sys.argv[1])"
    )
    run_torch(torch_python, script, tmp_path / "adapter_model.safetensors")
    write_json(tmp_path / "adapter_config.json", {"peft_type": "LORA", "lora_alpha": 8, "r": 4})
    server.create("chat", chat_gguf)
    body = {"model": "x", "from": "chat", "adapters": upload(server, tmp_path), "stream": False}
    answer = server.post("/api/create", body)
    assert answer.status == 400
    assert "the converted adapter is for another model" in answer.json["error"]


def converters(server: Serving) -> list[psutil.Process]:
    return server.programs("convert_child")


def begin(server: Serving, files: dict[str, str]) -> http.client.HTTPConnection:
    """A create's request, whose converter has started."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    body = json.dumps({"model": "x", "files": files})
    connection.request("POST", "/api/create", body)
    wait_until(lambda: converters(server), what="a converter")
    return connection


def test_who_leaves_takes_the_converter_along(server: Serving, mini: Path) -> None:
    files = upload(server, mini)
    before = blobs(server)
    connection = begin(server, files)
    (child,) = converters(server)
    connection.close()
    wait_until(lambda: not child.is_running(), what="the converter's end")
    wait_until(lambda: blobs(server) == before, what="the temporary files' end")
    wait_until(lambda: not list(server.home.glob("ayllu-*/x")), what="the folder's end")


def test_a_converter_that_is_killed_leaves_a_sentence(server: Serving, mini: Path) -> None:
    files = upload(server, mini)
    before = blobs(server)
    connection = begin(server, files)
    (child,) = converters(server)
    child.kill()
    last = json.loads(connection.getresponse().read().splitlines()[-1])
    connection.close()
    assert last == {"error": "converting the model was killed, most likely because memory ran out"}
    assert blobs(server) == before
    assert server.post("/api/show", {"model": "x"}).status == 404


def test_a_converter_does_not_outlive_its_server(
    tmp_path: Path, mini: Path, torch_python: Path
) -> None:
    with serving(tmp_path, AYLLU_TORCH_PYTHON=str(torch_python)) as server:
        connection = begin(server, upload(server, mini))
        (child,) = converters(server)
        os.kill(server.process.pid, signal.SIGKILL)
        wait_until(lambda: not child.is_running(), what="the converter's end")
        connection.close()
        server.process.wait()
        for folder in tmp_path.glob("ayllu-*"):
            assert [path.name for path in folder.iterdir()] == ["x"]  # links, for the next server
            for path in sorted(folder.rglob("*"), reverse=True):
                path.unlink() if path.is_symlink() else path.rmdir()
            folder.rmdir()


def test_a_full_disk_ends_an_import(
    tmp_path: Path, mini: Path, torch_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        mounted(tmp_path / "disk", "size=16m") as disk,
        serving(
            tmp_path_factory.mktemp("home"),
            AYLLU_MODELS=str(disk / "models"),
            AYLLU_TORCH_PYTHON=str(torch_python),
        ) as server,
    ):
        files = upload(server, mini)
        folder = disk / "models" / "blobs"
        before = sorted(folder.iterdir())
        answer = server.post("/api/create", {"model": "x", "files": files, "stream": False})
        assert answer.status == 500
        assert "there is no space left in" in answer.json["error"]
        assert sorted(folder.iterdir()) == before


def test_what_an_import_needs_is_said_where_it_is_missing(tmp_path: Path, mini: Path) -> None:
    with serving(tmp_path, AYLLU_TORCH_PYTHON="/nowhere/python") as server:
        files = upload(server, mini)
        answer = server.post("/api/create", {"model": "x", "files": files})
        assert answer.status == 501
        assert (
            answer.json["error"] == "AYLLU_TORCH_PYTHON is /nowhere/python, which is not a program"
        )


def test_what_is_wrong_is_said_before_anything_is_done(server: Serving, mini: Path) -> None:
    files = upload(server, mini)
    config = files.pop("config.json")
    for body, sentence in (
        ({"files": files}, "the files lack the model's config.json"),
        ({"files": files | {"config.json": config}, "from": "mini"}, "'from' names the model"),
        ({"files": files | {"../config.json": config}}, "file path must be relative"),
        ({"from": "mini", "adapters": files}, "the adapter lacks its adapter_config.json"),
    ):
        answer = server.post("/api/create", {"model": "x", **body})
        assert answer.status == 400
        assert sentence in answer.json["error"]
    assert converters(server) == []
