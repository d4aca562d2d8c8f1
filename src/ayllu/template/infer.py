"""What a template's text tells of how its model answers: thinking tags and the tool tag.

Both are guesses from the parse tree: the texts that the template itself writes around earlier
thinking and earlier tool calls are those that the model will write.
"""

from __future__ import annotations

from collections.abc import Iterator

from ayllu.template import nodes
from ayllu.template.template import Template

_Branches = nodes.If | nodes.With | nodes.Range


def thinking_tags(template: Template) -> tuple[str, str] | None:
    """The texts around `.Thinking` in the loop over the Messages; None where there are none.

    The innermost and last place that starts or ends with a text decides.
    """
    opening = closing = ""
    for body in _thinking_bodies(template.root, in_loop=False):
        first, last = body[0], body[-1]
        opening = first.text.strip() if isinstance(first, nodes.Text) else opening
        closing = last.text.strip() if isinstance(last, nodes.Text) else closing
    return (opening, closing) if opening and closing else None


def _thinking_bodies(body: nodes.Body, *, in_loop: bool) -> Iterator[nodes.Body]:
    """The bodies that mention the thinking themselves, those around before those inside."""
    for node in body:
        if isinstance(node, nodes.Text):
            continue
        pipe = getattr(node, "pipe", None)
        if in_loop and pipe is not None and _starts_with(pipe, "Thinking"):
            yield body
        if isinstance(node, _Branches):
            if isinstance(node, nodes.Range):
                in_inner_loop = _starts_with(node.pipe, "Messages")
            else:
                in_inner_loop = in_loop
            yield from _thinking_bodies(node.body, in_loop=in_inner_loop)
            yield from _thinking_bodies(node.orelse, in_loop=in_inner_loop)


def _starts_with(pipe: nodes.Pipe, name: str) -> bool:
    """Whether a field of that name is looked up first, right from the cursor or a variable."""
    return any(
        node.names[:1] == (name,)
        for node in nodes.walk(pipe)
        if isinstance(node, nodes.Field | nodes.Variable)
    )


def tool_tag(template: Template) -> str | None:
    """What stands before a tool call's JSON, `{` where nothing does.

    It is the first text in the first `{{if}}` about `.ToolCalls`; None where there is no such.
    """
    found = _first_tool_branch(template.root)
    if found is None:
        return None
    return _first_text(found.body).partition("{")[0].strip() or "{"


def _first_tool_branch(body: nodes.Body) -> nodes.If | None:
    for node in body:
        if isinstance(node, nodes.If) and _is_about_tool_calls(node):
            return node
        if isinstance(node, _Branches):
            found = _first_tool_branch(node.body) or _first_tool_branch(node.orelse)
            if found is not None:
                return found
    return None


def _is_about_tool_calls(node: nodes.If) -> bool:
    return any(
        "ToolCalls" in nodes.identifiers(argument)
        for command in node.pipe.commands
        for argument in command.arguments
    )


def _first_text(body: nodes.Body) -> str:
    """The first text that is not blank, down to the first action or the end of a branch."""
    for node in body:
        if isinstance(node, nodes.Text):
            if node.text.strip():
                return node.text
        elif isinstance(node, _Branches):
            return _first_text(node.body) or _first_text(node.orelse)
        else:
            return ""
    return ""
