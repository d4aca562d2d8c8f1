"""What a coordinator asks of a machine that is to work for it, and the lines of the answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ayllu.models.create import Progress

_Text = Annotated[str, Meta(max_length=512)]


class WorkerRequest(Struct, frozen=True, kw_only=True):
    """POST /api/cluster/workers: what a coordinator wants another machine to hold for it.

    `engine` is the coordinator's build and `protocol` its RPC version, which have to be the
    worker's. `digest` is that of the model's GGUF (`sha256:` and 64 hex digits), `size` its bytes,
    `model` its full name on the coordinator; `first` and `layers` say which of its layers. `room`
    is all that the worker may take, in bytes. Of a deployment's requests the greatest `fence` is
    right: it is used once.
    """

    deployment: Annotated[str, Meta(min_length=1, max_length=64)]
    fence: Annotated[int, Meta(ge=0, lt=1 << 62)]
    engine: _Text = ""
    protocol: _Text = ""
    model: _Text
    digest: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
    size: Annotated[int, Meta(ge=0, lt=1 << 62)]
    first: Annotated[int, Meta(ge=0, lt=1 << 16)]
    layers: Annotated[int, Meta(ge=1, lt=1 << 16)]
    room: Annotated[int, Meta(ge=1, lt=1 << 62)]


class WorkerLine(Progress, frozen=True, omit_defaults=True):
    """A step until a worker is there; the last one's `status` is `success`, with the `lease`."""

    lease: str = ""
