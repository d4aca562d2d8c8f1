"""What a model gets that is made of a GGUF with a chat template: parser, template, stop words."""

from __future__ import annotations

from msgspec import Struct, structs

from ayllu.gguf import arch
from ayllu.gguf.read import Header
from ayllu.models.formats import USUAL
from ayllu.models.named_templates import NamedTemplate, detect
from ayllu.types import Json, ModelConfig


class FoundFormat(Struct, frozen=True):
    """The config, with renderer and parser where they are usual, and what else is to be added."""

    config: ModelConfig
    template: NamedTemplate | None = None
    stop: tuple[str, ...] = ()

    @property
    def params(self) -> dict[str, Json]:
        """The parameters that come with the format."""
        return {"stop": list(self.stop)} if self.stop else {}


def find_format(config: ModelConfig, model: Header) -> FoundFormat:
    """What is usual for the architecture or for the format of the GGUF's own chat template."""
    jinja = arch.chat_template(model)
    if jinja and (usual := USUAL.get(config.model_family)):
        named = structs.replace(config, renderer=usual.name, parser=usual.name)
        return FoundFormat(named, stop=usual.stop)
    if template := detect(jinja):
        return FoundFormat(config, template, template.stop)
    return FoundFormat(config)
