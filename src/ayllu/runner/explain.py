"""Why an engine ended, in words: from its exit code and the last lines of its log. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from ayllu.errors import ILLEGAL_INSTRUCTION


def explain_exit(code: int | None, log: Sequence[str]) -> str:
    """Why llama-server ended, in one sentence with the remedy where there is one."""
    text = "\n".join(log)
    for pattern, sentence in _EXPLANATIONS:
        if found := re.search(pattern, text):
            return sentence.format(*(group or "" for group in found.groups()))
    if code is not None and code < 0:
        if code == -signal.SIGKILL:
            return "the engine was killed, most likely because memory ran out"
        if code == -signal.SIGILL:
            return f"the engine {ILLEGAL_INSTRUCTION}"
        return f"the engine crashed ({signal.Signals(-code).name}){_last_words(log)}"
    return f"the engine ended with code {code}{_last_words(log)}"


_EXPLANATIONS = (
    (r"unknown model architecture: '([^']*)'", "this engine does not know the architecture '{0}'"),
    (
        r"(?:missing tensor '([^']*)'|tensor '([^']*)' not found)",
        "the model file lacks the tensor '{0}{1}'",
    ),
    (r"key not found in model: (\S+)", "the model file lacks the key {0}"),
    (r"unknown pre-tokenizer type: '([^']*)'", "this engine does not know the tokenizer '{0}'"),
    (r"tensor '([^']*)' has wrong shape", "the model file's tensor '{0}' has a wrong shape"),
    (
        r"(?:unable to allocate|failed to allocate|insufficient memory|out of memory)",
        "memory is too short for this model: lower num_ctx or take a smaller quantization",
    ),
    (
        r"(?:common_chat_templates_init: e|chat template parsing error: (?s:.*?)\nE)rror: ([^\n]+)",
        "the chat template inside the model file cannot be read: {0}",
    ),
    (
        r"mismatch between text model \(n_embd = (\d+)\) and mmproj \(n_embd = (\d+)\)",
        "the projector belongs to another model: it makes embeddings of {1} numbers, not of {0}",
    ),
    (r"unknown projector type: ?(\S*)", "this engine does not know the projector type '{0}'"),
    (r"unable to find tensor (\S+)", "the projector lacks the tensor '{0}'"),
    (r"clip_init: failed to load model '[^']*': ([^\n]+)", "the projector is damaged: {0}"),
    (
        r"Failed to load CLIP model",
        "the projector has neither clip.has_vision_encoder nor clip.has_audio_encoder",
    ),
    (r"error loading model: ([^\n]+)", "the engine cannot load this model: {0}"),
    (r"error while handling argument \"([^\"]+)\": ([^\n]+)", "the engine refused {0}: {1}"),
    (r"couldn't bind|failed to bind", "the engine could not open its socket"),
)


def _last_words(log: Sequence[str]) -> str:
    """The last line that names an error, as the end of a sentence."""
    for line in reversed(log):
        if re.search(r"\bE\b|error|abort|assert|fail", line, re.IGNORECASE):
            return f": {re.sub(r'^[0-9.]+ [A-Z] ', '', line).strip()}"
    return ""
