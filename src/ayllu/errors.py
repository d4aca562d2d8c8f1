"""The error tree. An AylluError carries one sentence that is safe and useful to show to the user.

AylluError (500)
├── BadRequestError (400)       the caller can mend the request
│   ├── GGUFError               the file is not a GGUF that we accept
│   ├── ModelfileError          a Modelfile does not parse
│   └── TemplateError           a prompt template does not parse or run
├── ForbiddenError (403)        Host, Origin or address not allowed, or it would leave this machine
├── NotFoundError (404)         no such model or blob
├── TooLargeError (413)         a body over its limit
├── StoreError (500)            the models directory cannot be read or written
├── RegistryError (502)         a registry cannot be reached, or breaks its protocol
├── BusyError (503)             too many requests wait
├── UnsupportedError (501)      a part of an API that is not here
└── EngineError (500)           llama-server refused, crashed or hangs
    ├── EngineMissingError      there is no usable llama-server on this machine
    └── ContextExceededError (400)  the prompt does not fit the context

A few leaves live beside the one place that raises them: ConfigError, ManifestError,
EngineDiedError, DatabaseError, PreviousNotFoundError (400), UnauthorizedError (401),
EncodingError (415), ClientLeftError (499) and the command line's.
Anything else that escapes is a bug and gets a traceback.
"""

from __future__ import annotations

from typing import ClassVar


class AylluError(Exception):
    """Base of all errors whose message may be shown as it is.

    `status` is the HTTP status that the dialects answer with.
    """

    status: ClassVar[int] = 500

    @property
    def sentence(self) -> str:
        """The message to show."""
        return str(self)


class BadRequestError(AylluError):
    """The request is wrong and the caller can mend it."""

    status = 400


class GGUFError(BadRequestError):
    """A file is not a GGUF, is damaged, or breaks one of the reader's limits."""


class ModelfileError(BadRequestError):
    """A Modelfile does not parse; the sentence carries the line number."""


class TemplateError(BadRequestError):
    """A prompt template does not parse, or runs past its limits."""


class ForbiddenError(AylluError):
    """Not allowed: a Host or Origin, a private address, what a registry refuses, or a cloud."""

    status = 403


class NotFoundError(AylluError):
    """The named model or blob is not here."""

    status = 404


class TooLargeError(AylluError):
    """A request body is over its limit."""

    status = 413


class StoreError(AylluError):
    """The models directory cannot be read or written: full, read-only, no permission."""


class RegistryError(AylluError):
    """A registry cannot be reached, fails, or does not keep to its protocol."""

    status = 502


class BusyError(AylluError):
    """More requests wait than the queue holds, or the machine may not be used now."""

    status = 503


class UnsupportedError(AylluError):
    """A part of an API that is not here."""

    status = 501


class EngineError(AylluError):
    """llama-server refused a model, crashed, or stopped answering."""


ILLEGAL_INSTRUCTION = (
    "met an instruction that this CPU cannot run: it was built for another CPU, or a compiler got "
    "it wrong; run `make engine`, or set AYLLU_LLAMA_BIN to the folder of a llama.cpp that runs"
)
"""What the engine's programs did that ended by SIGILL, as the end of a sentence."""


class EngineMissingError(EngineError):
    """No usable llama-server was found on this machine."""


class ContextExceededError(EngineError):
    """The prompt has more tokens than the context holds.

    `prompt_tokens` and `context_tokens` are counts of tokens.
    """

    status = 400

    def __init__(self, prompt_tokens: int, context_tokens: int) -> None:
        super().__init__(
            f"the prompt has {prompt_tokens} tokens and the context holds {context_tokens}: "
            "shorten the prompt or raise num_ctx",
        )
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens
