"""How much better a tuned model is than its base: /api/tune/evaluate."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.errors import BadRequestError, NotFoundError
from ayllu.gguf.tool import Step
from ayllu.models.model import Model, open_model
from ayllu.models.name import parse_name, short_name
from ayllu.server import wire_tune_evaluate as wire
from ayllu.server.state import State, model_of, read_body, required, state_of
from ayllu.server.stream import collect, json_response, ndjson_response, until_left
from ayllu.system import temporary_prefix
from ayllu.trainer.spec import EXAMPLES, Settings
from ayllu.tune.data import read
from ayllu.tune.evaluate import (
    Comparison,
    Examples,
    Subject,
    check_same_words,
    compare,
    read_examples,
    subject,
)
from ayllu.tune.job import find_data
from ayllu.tune.jobs import FOLDER
from ayllu.tune.prepare import prepare

_JOB = re.compile(r"[0-9A-Za-z_-]+")


async def evaluate(request: Request) -> Response:
    """POST /api/tune/evaluate: compare a tuned model with its base on data it has not seen."""
    body = await read_body(request, wire.EvaluateRequest)
    state, model = state_of(request), await model_of(request, required(body.model))
    base = await asyncio.to_thread(_base, state, model, body.base)
    lines = _evaluate(state, model, base, body)
    if body.stream:
        return await ndjson_response(request, lines)
    return json_response((await until_left(request, collect(lines)))[-1])


def _base(state: State, model: Model, named: str) -> Subject:
    """What the model is compared with: what is named, or what it was trained from."""
    name = named or str(model.tuned.get("base", ""))
    if not name:
        raise BadRequestError(
            f"{short_name(model.name)} was not trained here: name with `base` what to compare it to"
        )
    if not named and model.tuned.get("kind") == "adapter" and model.adapters:
        return structs.replace(subject(model, bare=True), name=name)
    try:
        return subject(open_model(state.store, parse_name(name)))
    except NotFoundError:
        raise NotFoundError(
            f"model '{name}' not found"
            + ("" if named else ", which this one was trained from: name another with `base`")
        ) from None


async def _evaluate(
    state: State, model: Model, base: Subject, body: wire.EvaluateRequest
) -> AsyncGenerator[wire.EvaluateLine]:
    """The steps, and the result last."""
    tuned = await asyncio.to_thread(subject, model)
    await asyncio.to_thread(check_same_words, base, tuned)
    files = await asyncio.to_thread(find_data, state.store, body.data)
    with ExitStack() as stack:
        if body.data:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix=temporary_prefix())))
            yield wire.EvaluateLine("reading data")
            async with aclosing(_prepared(state, model, body, files, folder)) as steps:
                async for step in steps:
                    yield wire.EvaluateLine("preparing data", step.total, step.completed, "rows")
            path = folder / EXAMPLES
        else:
            path = _own_examples(state, model)
        held = not body.data
        examples = await asyncio.to_thread(read_examples, path, body.examples, held=held)
        async with aclosing(_compare(state, base, tuned, examples, body)) as lines:
            async for line in lines:
                yield line


async def _prepared(
    state: State,
    model: Model,
    body: wire.EvaluateRequest,
    files: dict[str, Path],
    folder: Path,
) -> AsyncGenerator[Step]:
    """Make examples of the request's data, none of them held back."""
    data = await read(files, folder, strict=body.strict, python=state.settings.torch_python)
    settings = Settings(context=body.context, validation=0)
    work = prepare(state.pool, model, data, settings, folder, strict=body.strict)
    async with aclosing(work) as items:
        async for item in items:
            if isinstance(item, Step):
                yield item


def _own_examples(state: State, model: Model) -> Path:
    """Where the examples of the model's own training lie, if they do. Raises BadRequestError."""
    job = str(model.tuned.get("job", ""))
    if not _JOB.fullmatch(job):
        raise BadRequestError(
            f"{short_name(model.name)} was not trained here: give data to evaluate it on"
        )
    return state.settings.home / FOLDER / job / EXAMPLES


async def _compare(
    state: State, base: Subject, tuned: Subject, examples: Examples, body: wire.EvaluateRequest
) -> AsyncGenerator[wire.EvaluateLine]:
    yield wire.EvaluateLine(f"loading {base.name}")
    work = compare(
        base,
        tuned,
        examples,
        answers=body.answers,
        longest=body.longest,
        tools=state.tools,
    )
    async with aclosing(work) as items:
        async for item in items:
            if isinstance(item, Comparison):
                count = len(examples.which)
                yield wire.EvaluateLine(
                    "success",
                    examples=count,
                    base=item.base,
                    tuned=item.tuned,
                    samples=item.samples,
                )
            else:
                name, step = item
                status = f"evaluating {name}"
                yield wire.EvaluateLine(status, step.total, step.completed, "tokens")
