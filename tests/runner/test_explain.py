from __future__ import annotations

import signal

import pytest

from ayllu.runner.explain import explain_exit


@pytest.mark.parametrize(
    ("code", "line", "words"),
    [
        (1, "E error loading model: unknown model architecture: 'nova'", "architecture 'nova'"),
        (1, "E llama_model_load: error loading model: missing tensor 'a.b'", "tensor 'a.b'"),
        (1, "error loading model: key not found in model: llama.x", "key llama.x"),
        (1, "E ggml: failed to allocate buffer", "memory is too short"),
        (1, "E error loading model: tensors are tired", "tensors are tired"),
        (1, "E common_chat_templates_init: error: Unexpected %}", "cannot be read: Unexpected %}"),
        (1, "chat template parsing error: no:\n---\nError: oh\nE x error", "cannot be read: oh"),
        (
            1,
            "E clip_init: failed to load model 'x': load_hparams: odd",
            "damaged: load_hparams: odd",
        ),
        (1, 'error while handling argument "-ngl": bad', "refused -ngl: bad"),
        (-signal.SIGKILL, "", "memory ran out"),
        (
            -signal.SIGILL,
            "",
            "built for another CPU, or a compiler got it wrong; run `make engine`",
        ),
        (-signal.SIGSEGV, "", "crashed (SIGSEGV)"),
        (-signal.SIGABRT, "0.00.1 E ggml assert broke", "crashed (SIGABRT): ggml assert broke"),
        (3, "all was well", "ended with code 3"),
    ],
)
def test_an_engines_end_is_put_in_words(code: int, line: str, words: str) -> None:
    assert words in explain_exit(code, [line])
