"""What quantizing a model costs and brings: /api/perplexity and /api/quantizations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import ExitStack, aclosing

from starlette.requests import Request
from starlette.responses import Response

from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.evaluate import choose_context, perplexity
from ayllu.gguf.sizes import predict_all, size_of
from ayllu.gguf.tables import QUANTIZATIONS
from ayllu.gguf.tool import Step
from ayllu.models.files import draft, using
from ayllu.models.model import Model
from ayllu.models.name import short_name
from ayllu.models.store import Store
from ayllu.models.tools import CALIBRATION, Tools, check_form, check_program, check_text
from ayllu.runner import fit
from ayllu.server import wire_quantize as wire
from ayllu.server.state import model_of, options_of, read_body, required, state_of
from ayllu.server.stream import collect, json_response, ndjson_response, until_left
from ayllu.system import memory

LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")
"""What is recommended, the best first. What is larger than Q8_0 is no better that one would notice,
and what is smaller than Q2_K wants a matrix and a reason."""

KINDS = (*(kind for kind, meaning in QUANTIZATIONS.items() if kind == meaning), "MXFP4_MOE")
"""All types, without their second names."""


async def measure(request: Request) -> Response:
    """POST /api/perplexity: measure how well a model predicts a text."""
    body = await read_body(request, wire.PerplexityRequest)
    state, model = state_of(request), await model_of(request, required(body.model))
    lines = _measure(state.store, model, body, state.tools)
    if body.stream:
        return await ndjson_response(request, lines)
    return json_response((await until_left(request, collect(lines)))[-1])


async def _measure(
    store: Store, model: Model, body: wire.PerplexityRequest, tools: Tools
) -> AsyncGenerator[wire.PerplexityLine]:
    """The steps, and the result last. Whatever is added to the model's own file is left out."""
    header = await asyncio.to_thread(cached_header, model.path)
    arch.check(header)
    context = choose_context(header, body.context or 0)
    check_program(tools.imatrix)
    await asyncio.to_thread(check_form, model.path)
    with ExitStack() as stack:
        text = CALIBRATION
        if body.text is not None:
            data = body.text.encode()
            check_text(data)
            with using(store.root):
                new = stack.enter_context(draft(store.blobs))
                await asyncio.to_thread(new.write, data)
            text = new.path
        name = short_name(model.name)
        yield wire.PerplexityLine(f"loading {name}")
        async with tools.turn:
            tools.check_memory(header, context)
            chunks = body.chunks
            work = perplexity(tools.imatrix, model.path, text, context=context, chunks=chunks)
            async with aclosing(work) as items:
                async for item in items:
                    if isinstance(item, Step):
                        status = f"measuring {name}"
                        yield wire.PerplexityLine(status, item.total, item.completed, "chunks")
                    else:
                        result = item
    size = size_of(header)
    yield wire.PerplexityLine(
        "success",
        perplexity=result.value,
        perplexity_error=result.error,
        tokens=result.tokens,
        context=context,
        quantization=arch.file_type(header),
        size=size.file,
        bits_per_weight=size.bits_per_weight,
    )


async def plan(request: Request) -> Response:
    """POST /api/quantizations: tell how large a model would be in each type, and what fits here."""
    body = await read_body(request, wire.QuantizationsRequest)
    state, model = state_of(request), await model_of(request, required(body.model))
    check_program(state.tools.quantize)
    await asyncio.to_thread(check_form, model.path)
    header = await asyncio.to_thread(cached_header, model.path)
    arch.check(header)
    work = predict_all(state.tools.quantize, model.path, KINDS)
    sizes = await until_left(request, work)
    options = options_of(model, {"num_ctx": body.context} if body.context else {})
    load = fit.plan_load(
        model, options, state.settings, gpus=state.tools.gpus, embedding=arch.pools(header)
    )
    beside = fit.footprint(fit.load_facts(load), load) - header.file_size
    now, machine = size_of(header), memory()
    rows = tuple(
        wire.Quantization(
            type=kind,
            size=size.file,
            bits_per_weight=size.bits_per_weight,
            memory=size.file + beside,
            fits=size.file + beside <= machine.total,
            fits_now=size.file + beside <= machine.available,
            needs_imatrix=size.needs_matrix,
        )
        for kind, size in sorted(sizes.items(), key=lambda item: -item[1].file)
    )
    room = int(fit.MEMORY_SHARE * machine.total)
    kind = arch.file_type(header)
    answer = wire.QuantizationsResponse(
        model=body.model,
        quantization=kind,
        size=now.file,
        bits_per_weight=now.bits_per_weight,
        context=load.context,
        memory_total=machine.total,
        memory_available=machine.available,
        recommended=recommend(rows, room, kind, now.file),
        types=rows,
    )
    return json_response(answer)


def recommend(rows: Iterable[wire.Quantization], room: int, kind: str, size: int) -> str:
    """The best type of the ladder that takes at most `room` bytes of memory; empty where none does.

    A model of `size` bytes that is of the type `kind` already never becomes larger.
    """
    by_type = {row.type: row for row in rows}
    usual = [by_type[name] for name in LADDER]
    fitting = [row for row in usual if row.memory <= room and (row.size < size or row.type == kind)]
    return fitting[0].type if fitting else ""
