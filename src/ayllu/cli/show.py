"""What `ayllu show` and the prompt's `/show info` print about a model. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ayllu.cli.print import human_number, table
from ayllu.cli.wire import ShowReply
from ayllu.types import Json

TEXT_LINES = 2
TEXT_COLUMNS = 100
ARRAY_COLUMNS = 10

Rows = list[Sequence[str]]


def describe(reply: ShowReply, *, verbose: bool = False) -> str:
    """All sections that have something to say, each with a blank line after it."""
    sections = (
        ("Model", _model(reply)),
        ("Capabilities", [("", name) for name in reply.capabilities or ()]),
        ("Projector", _projector(reply.projector_info or {})),
        ("Draft", _draft(reply.draft_info or {})),
        ("Tuned", _tuned(reply.tuned or {})),
        ("Parameters", [("", *line.split()) for line in reply.parameters.splitlines() if line]),
        ("Metadata", _metadata(reply.model_info or {}) if verbose else []),
        ("Tensors", _tensors(reply) if verbose else []),
        ("System", _beginning(reply.system)),
        ("License", _beginning(reply.license_text)),
    )
    return "".join(f"  {title}\n{table(rows)}\n" for title, rows in sections if rows)


def _model(reply: ShowReply) -> Rows:
    info = reply.model_info or {}
    architecture = _text(info.get("general.architecture")) or reply.details.family
    rows = [
        ("Remote model", reply.remote_model),
        ("Remote URL", reply.remote_host),
        ("architecture", architecture),
        ("parameters", reply.details.parameter_size or _count(info)),
        ("context length", _text(info.get(f"{architecture}.context_length"))),
        ("embedding length", _text(info.get(f"{architecture}.embedding_length"))),
        ("quantization", reply.details.quantization_level),
        ("requires", reply.requires),
    ]
    return [("", name, value) for name, value in rows if value]


def _projector(info: dict[str, Json]) -> Rows:
    """The encoder of images; that of sounds where there is no other."""
    architecture = _text(info.get("general.architecture"))
    sees = f"{architecture}.vision.embedding_length" in info
    encoder = f"{architecture}.{'vision' if sees else 'audio'}"
    rows = [
        ("architecture", architecture),
        ("parameters", _count(info)),
        ("embedding length", _text(info.get(f"{encoder}.embedding_length"))),
        ("dimensions", _text(info.get(f"{encoder}.projection_dim"))),
    ]
    return [("", name, value) for name, value in rows if value]


def _draft(info: dict[str, Json]) -> Rows:
    rows = [
        ("name", _text(info.get("general.name"))),
        ("architecture", _text(info.get("general.architecture"))),
        ("parameters", _count(info)),
        ("quantization", _text(info.get("general.quantization"))),
    ]
    return [("", name, value) for name, value in rows if value]


def _tuned(card: dict[str, Json]) -> Rows:
    """How the model was trained; a card that came from elsewhere may lack anything."""
    settings = card.get("settings")
    method = _text(settings.get("method")) if isinstance(settings, dict) else ""
    rows = [
        ("base", _text(card.get("base"))),
        ("method", " ".join(filter(None, (method, _text(card.get("kind")))))),
        ("data", ", ".join(card["data"]) if isinstance(card.get("data"), dict) else ""),
        ("examples", _text(card.get("examples"))),
        ("held back", _text(card.get("held"))),
        ("steps", _text(card.get("steps"))),
        ("loss", _text(card.get("loss"))),
        ("validation loss", _text(card.get("validation_loss"))),
        ("trained at", _text(card.get("created_at"))),
        ("version", _text(card.get("version"))),
    ]
    return [("", name, value) for name, value in rows if value]


def _count(info: dict[str, Json]) -> str:
    """The number of parameters in a file's metadata; empty when it is not told."""
    count = info.get("general.parameter_count")
    return human_number(int(count)) if isinstance(count, int | float) else ""


def _metadata(info: dict[str, Json]) -> Rows:
    return [("", name, _value(value)) for name, value in sorted(info.items())]


def _value(value: Json) -> str:
    return _array(value) if isinstance(value, list) else _text(value)


def _array(values: list[Json]) -> str:
    """As many of the values as fit about ten columns, then how many more there are."""
    texts = list(_fitting(values))
    more = len(values) - len(texts)
    return f"[{' '.join(texts)}{f' ...+{more} more' if more else ''}]"


def _fitting(values: list[Json]) -> Iterator[str]:
    used = 1
    for index, value in enumerate(values):
        text = _text(value)
        used += len(text) + (2 if index else 0)
        if index and used > ARRAY_COLUMNS:
            return
        yield text


def _text(value: Json) -> str:
    """A scalar as Go prints it, empty for null."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _tensors(reply: ShowReply) -> Rows:
    return [
        ("", tensor.name, tensor.type, f"[{' '.join(map(str, tensor.shape or ()))}]")
        for tensor in reply.tensors or ()
    ]


def _beginning(text: str) -> Rows:
    """The first two lines that are not empty, wrapped, and `...` where there are more."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows: Rows = [
        ("", part) for line in lines[:TEXT_LINES] for part in textwrap.wrap(line, TEXT_COLUMNS)
    ]
    return [*rows, ("", "...")] if len(lines) > TEXT_LINES else rows
