"""What can be asked of create, and what is wrong with it. Touches no disk.

Words and fields are Ollama's (https://github.com/ollama/ollama/blob/main/docs/api.md).
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct, structs

from ayllu.errors import BadRequestError, TemplateError
from ayllu.gguf.quantize import parse_quantization
from ayllu.models.formats import FORMATS, RENDERERS
from ayllu.models.manifest import parse_digest
from ayllu.models.modelfile import ROLES, typed_parameters
from ayllu.template import parse
from ayllu.types import Json, Message

VERSION = re.compile(r"v?((0|[1-9]\d*)(\.(0|[1-9]\d*)){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)")
"""A semantic version; the first group is the version without a `v`."""


class CreateRequest(Struct, frozen=True, kw_only=True):
    """POST /api/create, the name apart. `files` and its kin map a relative path to a digest.

    `draft` names a model of the store, `draft_files` a file, that drafts for the new one. `imatrix`
    is true, or the digest of an importance matrix or of a text to make one of.
    """

    from_: str = msgspec.field(default="", name="from")
    files: dict[str, str] = {}
    adapters: dict[str, str] = {}
    draft_files: dict[str, str] = {}
    draft: str = ""
    template: str = ""
    system: str = ""
    license: str | tuple[str, ...] = ()
    parameters: dict[str, Json] = {}
    messages: tuple[Message, ...] = ()
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    quantize: str = ""
    quantization: str = ""
    draft_quantize: str = ""
    requantize: bool = False
    imatrix: bool | str = False
    remote_host: str = ""


class Trained(Struct, frozen=True, kw_only=True):
    """What training makes of the model that a request names with `from`.

    `card` is JSON that says how it was trained. `weights` is the digest of a GGUF that takes the
    place of the model's own; without one, the request has an adapter. `without_system` leaves out
    the model's system prompt.
    """

    card: bytes
    weights: str = ""
    without_system: bool = False


def checked(request: CreateRequest) -> CreateRequest:
    """The request with its fields in their final form. Raises BadRequestError in Ollama's words."""
    for files in (request.files, request.adapters, request.draft_files):
        for path, digest in files.items():
            if not _is_relative(path):
                raise BadRequestError("file path must be relative")
            parse_digest(digest)
    if request.draft_quantize and not (request.draft_files or request.draft):
        raise BadRequestError("--draft-quantize requires a DRAFT model")
    if request.remote_host:
        raise BadRequestError("models on other hosts are not supported: leave out remote_host")
    if not request.from_ and not request.files:
        raise BadRequestError("neither 'from' or 'files' was specified")
    if request.draft_files and request.draft:
        raise BadRequestError("only one DRAFT model is supported")
    _check_texts(request)
    kinds = (request.quantize or request.quantization, request.draft_quantize)
    quantize, draft_quantize = (parse_quantization(kind) if kind else "" for kind in kinds)
    return structs.replace(
        request,
        quantize=quantize,
        draft_quantize=draft_quantize,
        parameters=typed_parameters(request.parameters),
    )


def _check_texts(request: CreateRequest) -> None:
    if request.imatrix and not (request.quantize or request.quantization):
        raise BadRequestError("an importance matrix is for quantizing: say to which type")
    if request.renderer and request.renderer not in RENDERERS:
        raise BadRequestError(f'unknown renderer "{request.renderer}"')
    if request.parser and request.parser not in FORMATS:
        raise BadRequestError(f'unknown parser "{request.parser}"')
    if request.template:
        try:
            parse(request.template)
        except TemplateError as error:
            raise TemplateError(f"template error: {error}") from error
    if request.requires and not VERSION.fullmatch(request.requires):
        raise BadRequestError("requires must be a valid semver (e.g. 0.14.0)")
    for message in request.messages:
        if message.role not in ROLES:
            raise BadRequestError('message role must be one of "system", "user", or "assistant"')


def _is_relative(path: str) -> bool:
    """Go's `fs.ValidPath`, and no backslash, colon or NUL, which some systems read as more."""
    parts = path.split("/")
    return not any(part in {"", ".", ".."} for part in parts) and not set(path) & set("\\:\0")
