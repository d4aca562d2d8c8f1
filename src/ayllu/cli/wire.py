"""What the server's answers look like, as far as the command line reads them.

Fields that we do not use are ignored; a field of the wrong type is refused when it is read.
"""

from __future__ import annotations

from msgspec import Struct

from ayllu.cli.print import clean_line
from ayllu.types import Json


class Details(Struct, frozen=True):
    """The part of a model's description that lists and `show` share."""

    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class ListedModel(Struct, frozen=True):
    """One line of GET /api/tags. `modified_at` is RFC 3339."""

    name: str
    digest: str = ""
    size: int = 0
    modified_at: str = ""
    remote_model: str = ""


class ListReply(Struct, frozen=True):
    """GET /api/tags."""

    models: tuple[ListedModel, ...] | None = None


class Stage(Struct, frozen=True):
    """Layers of a model on a machine; `size` is in bytes."""

    name: str = ""
    first: int = 0
    layers: int = 0
    size: int = 0


class Placement(Struct, frozen=True):
    """Where a model runs, the machine that answers first; speeds are tokens per second."""

    stages: tuple[Stage, ...] = ()
    predicted: float = 0.0
    measured: float = 0.0
    replays: int = 0

    @property
    def machines(self) -> str:
        """`anta 0-19, bari 20-31`; the first may have no layer, and then only answers."""
        return ", ".join(
            f"{clean_line(one.name)} {one.first}-{one.first + one.layers - 1}"
            if one.layers
            else clean_line(one.name)
            for one in self.stages
        )

    @property
    def speed(self) -> str:
        """`12.3`, and what was predicted: `12.3 of 14`."""
        measured = f"{self.measured:.3g}" if self.measured else "-"
        return f"{measured} of {self.predicted:.3g}" if self.predicted else measured


class RunningModel(Struct, frozen=True):
    """One line of GET /api/ps. `expires_at` is RFC 3339, `ayllu` ours."""

    name: str
    digest: str = ""
    size: int = 0
    size_vram: int = 0
    expires_at: str = ""
    context_length: int = 0
    ayllu: Placement = Placement()


class RunningReply(Struct, frozen=True):
    """GET /api/ps."""

    models: tuple[RunningModel, ...] | None = None


class Tensor(Struct, frozen=True):
    """One tensor of POST /api/show with `verbose`."""

    name: str
    type: str = ""
    shape: tuple[int, ...] | None = None


class StoredMessage(Struct, frozen=True):
    """A MESSAGE that a model carries."""

    role: str
    content: str = ""


class ShowReply(Struct, frozen=True):
    """POST /api/show."""

    license: str | list[str] | None = None
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    system: str = ""
    details: Details = Details()
    messages: tuple[StoredMessage, ...] | None = None
    model_info: dict[str, Json] | None = None
    projector_info: dict[str, Json] | None = None
    draft_info: dict[str, Json] | None = None
    tuned: dict[str, Json] | None = None
    tensors: tuple[Tensor, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    requires: str = ""
    remote_model: str = ""
    remote_host: str = ""

    @property
    def license_text(self) -> str:
        """The licences as one text."""
        if isinstance(self.license, list):
            return "\n".join(self.license)
        return self.license or ""

    def can(self, capability: str) -> bool:
        """Whether the model has the capability: `completion`, `vision`, `thinking`..."""
        return capability in (self.capabilities or ())


class Function(Struct, frozen=True):
    """The tool and the arguments of a call."""

    name: str = ""
    arguments: Json = None


class Call(Struct, frozen=True):
    """A tool call that a model made although nobody offered it a tool."""

    function: Function = Function()


class ChunkMessage(Struct, frozen=True):
    """The message within a line of POST /api/chat."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[Call, ...] | None = None


class Chunk(Struct, frozen=True):
    """A line of POST /api/generate or /api/chat. Durations are in nanoseconds."""

    response: str = ""
    thinking: str = ""
    message: ChunkMessage = ChunkMessage()
    tool_calls: tuple[Call, ...] | None = None
    done: bool = False
    done_reason: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class ProgressLine(Struct, frozen=True):
    """A line of POST /api/pull, /api/push or /api/create. Sizes are in bytes, or in a `unit`.

    Other machines of the user's gave `from_peers` bytes of a layer.
    """

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    unit: str = ""
    from_peers: int = 0
    from_registry: int = 0
    peers: int = 0

    @property
    def shares(self) -> str:
        """Who gave how much, as `142 MB from 2 peers, 58 MB from the registry`; else nothing."""
        if self.from_peers <= 0:
            return ""
        peers = "a peer" if self.peers == 1 else f"{self.peers} peers"
        given = f"{_size(self.from_peers)} from {peers}"
        rest = f", {_size(self.from_registry)} from the registry" if self.from_registry > 0 else ""
        return given + rest


def _size(count: int) -> str:
    """Bytes in the unit that shows them best, of 1000 each."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.{1 if unit == 'GB' else 0}f} {unit}"
    return f"{count} B"


class NodeProgressLine(ProgressLine, frozen=True):
    """A line of POST /api/cluster/pull: `name` is the machine's, `failed` says why it ended."""

    node: str = ""
    name: str = ""
    failed: str = ""


class Holder(Struct, frozen=True):
    """A machine that has a model."""

    id: str = ""
    name: str = ""
    loaded: bool = False
    here: bool = False


class AylluModel(Struct, frozen=True):
    """One line of GET /api/cluster/models."""

    name: str
    digest: str = ""
    size: int = 0
    nodes: tuple[Holder, ...] = ()


class AylluModelsReply(Struct, frozen=True):
    """GET /api/cluster/models."""

    models: tuple[AylluModel, ...] = ()


class PerplexityLine(ProgressLine, frozen=True):
    """A line of POST /api/perplexity; what comes after the progress is in the last one alone."""

    perplexity: float = 0
    perplexity_error: float = 0
    quantization: str = ""
    size: int = 0
    bits_per_weight: float = 0


class Quantization(Struct, frozen=True):
    """What a model would be in a type. Sizes are in bytes."""

    type: str
    size: int
    bits_per_weight: float
    memory: int
    fits: bool
    fits_now: bool
    needs_imatrix: bool


class PlanReply(Struct, frozen=True):
    """POST /api/quantizations. Sizes are in bytes."""

    quantization: str
    context: int
    memory_total: int
    memory_available: int
    recommended: str
    types: tuple[Quantization, ...]


class EmbedReply(Struct, frozen=True):
    """POST /api/embed."""

    embeddings: tuple[tuple[float, ...], ...] | None = None


class VersionReply(Struct, frozen=True):
    """GET /api/version: `version` is the Ollama that the server passes for, or is."""

    version: str
    ayllu: str = ""
