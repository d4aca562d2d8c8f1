"""Prompt templates in Go's text/template: our own interpreter of them.

See https://pkg.go.dev/text/template. A template is untrusted: whatever it says, parsing and running
it end within fixed bounds of time and memory, in a text or in a TemplateError.
"""

from __future__ import annotations

from ayllu.template.infer import thinking_tags, tool_tag
from ayllu.template.template import Template, parse
from ayllu.template.vars import merge, render

__all__ = ["Template", "merge", "parse", "render", "thinking_tags", "tool_tag"]
