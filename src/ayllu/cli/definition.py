"""The commands of a Modelfile as the body of /api/create, with the files it names."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from ayllu.cli.files import model_files
from ayllu.errors import BadRequestError, ModelfileError
from ayllu.models.modelfile import Command, Modelfile
from ayllu.types import Json

_PATH_STARTS = ("/", "./", "../", "~", ".\\", "..\\")
_WEIGHT_SUFFIXES = (".gguf", ".bin", ".safetensors")


class Definition(Struct):
    """`body` lacks the model's name and the digests of `files`, `adapters` and `drafts`."""

    body: dict[str, Json] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    adapters: list[Path] = field(default_factory=list)
    drafts: list[Path] = field(default_factory=list)


def define(modelfile: Modelfile, folder: Path) -> Definition:
    """What a Modelfile in `folder` asks for.

    Raises ModelfileError, with the line, for a bad parameter and for a path to nothing;
    BadRequestError where one file is two things.
    """
    definition = Definition()
    for command in modelfile.commands:
        try:
            _apply(definition, command, folder)
        except BadRequestError as error:
            if not command.line:  # no Modelfile was written
                raise
            raise ModelfileError(f"(line {command.line}): {error}") from error
    if parameters := modelfile.parameters():
        definition.body["parameters"] = parameters
    if same := set(definition.files) & set(definition.drafts):
        raise BadRequestError(f"DRAFT and FROM are the same file, {same.pop()}: take a smaller one")
    return definition


def _apply(definition: Definition, command: Command, folder: Path) -> None:
    body, name, value = definition.body, command.name, command.value
    match name:
        case "from":
            _apply_from(definition, value, folder)
        case "adapter":
            definition.adapters += model_files(_existing(value, folder))
        case "license":
            body.setdefault("license", []).append(value)
        case "message":
            body.setdefault("messages", []).append({"role": command.key, "content": value})
        case "template" | "system" | "renderer" | "parser" | "requires":
            body[name] = value
        case "draft":
            _apply_draft(definition, value, folder)


def _apply_from(definition: Definition, value: str, folder: Path) -> None:
    if parts := _matching(value, folder):
        definition.files += parts
    elif _is_path(value, folder):
        definition.files += model_files(_existing(value, folder))
    else:
        definition.body["from"] = value


def _apply_draft(definition: Definition, value: str, folder: Path) -> None:
    """The last one counts."""
    definition.drafts.clear()
    definition.body.pop("draft", None)
    if _is_path(value, folder):
        definition.drafts += model_files(_existing(value, folder))
    else:
        definition.body["draft"] = value


def _is_path(value: str, folder: Path) -> bool:
    """Whether a value means files of this machine; else it is the name of a model."""
    looks_so = value.startswith(_PATH_STARTS) or value.lower().endswith(_WEIGHT_SUFFIXES)
    return looks_so or value == "." or _path(value, folder).exists()


def _path(value: str, folder: Path) -> Path:
    try:
        return folder / Path(value).expanduser()
    except RuntimeError as error:  # `~user` of nobody
        raise BadRequestError(f"{value} names a home folder that does not exist") from error


def _matching(value: str, folder: Path) -> list[Path]:
    """The files that a wildcard in the last name stands for; none where there is none."""
    path = _path(value, folder)
    if not set(value) & set("*?[") or path.exists():
        return []
    return sorted(path.parent.glob(path.name))


def _existing(value: str, folder: Path) -> Path:
    path = _path(value, folder)
    if not path.exists():
        raise BadRequestError(f"there is no file {path}")
    return path
