"""Which files of a repository a tag names."""

from __future__ import annotations

import pytest

from ayllu.errors import BadRequestError, NotFoundError
from ayllu.registry.hub_files import HubFile, select


def files(*paths: str) -> list[HubFile]:
    return [HubFile(path, 1000 - place) for place, path in enumerate(paths)]


def chosen(tag: str, *paths: str) -> list[str]:
    return [file.path for file in select(files(*paths), tag).files]


USUAL = ("Llama-3.2-Q8_0.gguf", "Llama-3.2-Q4_K_M.gguf", "Llama-3.2-IQ3_XS.gguf", "README.md")


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        ("latest", "Llama-3.2-Q4_K_M.gguf"),
        ("Q8_0", "Llama-3.2-Q8_0.gguf"),
        ("q8_0", "Llama-3.2-Q8_0.gguf"),
        ("iq3_xs", "Llama-3.2-IQ3_XS.gguf"),
        ("Llama-3.2-IQ3_XS", "Llama-3.2-IQ3_XS.gguf"),
        ("Llama-3.2-IQ3_XS.gguf", "Llama-3.2-IQ3_XS.gguf"),
    ],
)
def test_a_tag_is_a_quantization_or_a_files_name(tag: str, path: str) -> None:
    assert chosen(tag, *USUAL) == [path]


def test_a_tag_does_not_match_the_end_of_another_type() -> None:
    assert chosen("Q8_0", "m-UD_Q8_0x.gguf", "m-Q8_0.gguf") == ["m-Q8_0.gguf"]
    with pytest.raises(NotFoundError, match="no file for the tag '4_K_M'; there are"):
        chosen("4_K_M", *USUAL)


def test_a_tag_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(NotFoundError, match=r"there are IQ3_XS, Q4_K_M, Q8_0$"):
        chosen("Q2_K", *USUAL)


def test_parts_come_in_order_and_only_when_all_are_there() -> None:
    parts = [f"Q4_K_M/big-Q4_K_M-0000{number}-of-00003.gguf" for number in (2, 3, 1)]
    assert chosen("q4_k_m", *parts) == sorted(parts)
    with pytest.raises(BadRequestError):
        chosen("q4_k_m", *parts[:2])


def test_the_folder_may_name_the_quantization() -> None:
    assert chosen("UD-Q4_K_XL", "UD-Q4_K_XL/model.gguf", "BF16/model.gguf") == [
        "UD-Q4_K_XL/model.gguf"
    ]


def test_latest_without_a_preferred_type_is_the_smallest() -> None:
    assert chosen("latest", "a-Q2_K.gguf", "b-Q3_K_S.gguf") == ["b-Q3_K_S.gguf"]


def test_a_projector_comes_along_in_f16_where_there_are_several() -> None:
    got = chosen("latest", "mmproj-BF16.gguf", "mmproj-F16.gguf", "m-Q4_K_M.gguf", "m.imatrix.gguf")
    assert got == ["m-Q4_K_M.gguf", "mmproj-F16.gguf"]


def test_weights_that_are_not_converted_come_with_what_describes_them() -> None:
    paths = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    beside = ["config.json", "tokenizer.json", "model.safetensors.index.json", "tokenizer.model"]
    others = ["pytorch_model.bin", "README.md", "modeling_own.py", "onnx/model.onnx"]
    found = select(files(*paths, *beside, *others), "latest")
    assert [file.path for file in found.files] == paths + beside
    assert found.quantize == ""
    assert select(files(*paths, *beside), "q4_k_m").quantize == "Q4_K_M"


def test_pickled_weights_are_taken_only_where_there_are_no_others() -> None:
    assert chosen("latest", "pytorch_model.bin", "config.json") == [
        "pytorch_model.bin",
        "config.json",
    ]


def test_a_tag_of_unconverted_weights_is_a_type_to_quantize_to() -> None:
    with pytest.raises(NotFoundError, match="no tag 'v2'"):
        chosen("v2", "model.safetensors", "config.json")


def test_a_repository_without_a_model_is_told() -> None:
    with pytest.raises(BadRequestError, match="holds no whole model"):
        chosen("latest", "README.md", "mmproj-F16.gguf")
