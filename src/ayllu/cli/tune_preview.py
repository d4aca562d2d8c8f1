"""What a training would learn from, printed: the first examples with their trained parts marked."""

from __future__ import annotations

import sys

from ayllu.cli.print import clean, clean_line, human_duration, human_number
from ayllu.cli.wire_tune import Examples, Preview, Sample
from ayllu.values import human_bytes

_DIM, _BRIGHT, _PLAIN = "\x1b[2m", "\x1b[1;32m", "\x1b[0m"
_OPEN, _CLOSE = "⟦", "⟧"


def write_preview(preview: Preview) -> None:
    """Print it to stdout: trained parts bright on a terminal, in brackets elsewhere."""
    colours = sys.stdout.isatty()
    for number, sample in enumerate(preview.examples.samples, 1):
        print(_heading(number, sample))
        print(_marked(sample, colours=colours) + "\n")
    how = "bright" if colours else f"in {_OPEN}{_CLOSE}"
    print(f"Only what is {how} is learned; the rest is what the model sees before it.\n")
    for line in (*data_lines(preview.examples), *_noise(preview), *_cost(preview)):
        print(line)


def _heading(number: int, sample: Sample) -> str:
    trained = sum(part.tokens for part in sample.segments if part.trained)
    total = sum(part.tokens for part in sample.segments)
    place = f"{clean_line(sample.file)}, line {sample.line}" if sample.line else sample.file
    return f"── example {number}: {place}; {trained} of {total} tokens are trained on"


def _marked(sample: Sample, *, colours: bool) -> str:
    parts = []
    for part in sample.segments:
        text = clean(part.text)
        if colours:
            parts.append(f"{_BRIGHT if part.trained else _DIM}{text}{_PLAIN}")
        else:
            parts.append(f"{_OPEN}{text}{_CLOSE}" if part.trained else text)
    return "".join(parts)


def data_lines(examples: Examples) -> list[str]:
    """What the data came to, and which of its rows are left out."""
    shapes = ", ".join(f"{count} {clean_line(name)}" for name, count in examples.shapes.items())
    lines = [
        f"rows         {examples.rows} ({shapes})",
        f"examples     {examples.examples}, {examples.held} of them held back for validation",
        f"tokens       {examples.tokens}, {examples.trained_tokens} of them trained on",
        f"longest      {examples.longest} tokens",
    ]
    if examples.truncated:
        lines.append(f"too long     {examples.truncated} are cut to {examples.context} tokens")
    if examples.dropped:
        lines.append(
            f"too long     {examples.dropped} are left out: within {examples.context} tokens there "
            "is nothing to learn"
        )
    if examples.unthought:
        lines.append(
            f"thoughts     left out of {examples.unthought} examples: the model's template has no "
            "place for them"
        )
    if examples.bad_count:
        lines.append(f"bad rows     {examples.bad_count}, which are left out:")
        lines += [
            f"             {clean_line(bad.file)}{f', line {bad.line}' if bad.line else ''}: "
            f"{clean_line(bad.reason)}"
            for bad in examples.bad
        ]
        if examples.bad_count > len(examples.bad):
            lines.append(f"             and {examples.bad_count - len(examples.bad)} more")
    return lines


def _noise(preview: Preview) -> list[str]:
    noise = preview.settings.get("noise")
    if not isinstance(noise, float) or not noise:
        return []
    return [f"noise        {noise:.0%} of the prompts' words are replaced at random each time"]


def _cost(preview: Preview) -> list[str]:
    needs, free = human_bytes(preview.estimated_memory), human_bytes(preview.free_memory)
    lines = [f"memory       {needs} by the estimate; {free} are free"]
    if (measured := preview.measured) is not None:
        lines[0] = (
            f"memory       {needs} by the estimate, {human_bytes(measured.peak)} as measured; "
            f"{free} are free"
        )
        lines.append(
            f"parameters   {human_number(measured.parameters)} of "
            f"{human_number(measured.all_parameters)}, on {measured.device} in {measured.dtype}"
        )
        lines.append(
            f"time         {human_duration(preview.estimated_seconds).lower()} for "
            f"{preview.steps} steps of {measured.seconds_per_step:.2g} s, as a few were measured"
        )
    if preview.problem:
        lines.append(f"\nIt cannot be trained as it is: {clean_line(preview.problem)}")
    else:
        lines.append(f"\nNothing was begun. Without --preview this becomes {preview.name}.")
    return lines
