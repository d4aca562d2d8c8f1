from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.errors import BadRequestError, ModelfileError
from ayllu.models.modelfile import (
    COMMANDS,
    DEPRECATED_PARAMETERS,
    Command,
    Modelfile,
    format_modelfile,
    parse_modelfile,
    parse_parameter,
    quote,
)

WANTED = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", '
    '"renderer", "parser", "parameter", "message", or "requires"'
)


def values(text: str) -> list[tuple[str, str, str]]:
    commands = parse_modelfile(f"FROM x\n{text}").commands[1:]
    return [(command.name, command.key, command.value) for command in commands]


def test_every_instruction_is_read() -> None:
    text = (
        "# a comment\n\n  \tFROM ./x.gguf\nfrom mmproj.gguf\nAdapter ~/a\nDRAFT d.gguf\n"
        "LICENSE MIT\nlicense Apache\nTEMPLATE {{ .Prompt }}\nSYSTEM hi\nRENDERER r\nPARSER p\n"
        "PARAMETER temperature 0.5\nMESSAGE user hello\nREQUIRES v0.1.0  # literal"
    )
    modelfile = parse_modelfile(text)
    assert [(c.name, c.key, c.value, c.line) for c in modelfile.commands] == [
        ("from", "", "./x.gguf", 3),
        ("from", "", "mmproj.gguf", 4),
        ("adapter", "", "~/a", 5),
        ("draft", "", "d.gguf", 6),
        ("license", "", "MIT", 7),
        ("license", "", "Apache", 8),
        ("template", "", "{{ .Prompt }}", 9),
        ("system", "", "hi", 10),
        ("renderer", "", "r", 11),
        ("parser", "", "p", 12),
        ("parameter", "temperature", "0.5", 13),
        ("message", "user", "hello", 14),
        ("requires", "", "v0.1.0  # literal", 15),
    ]
    assert modelfile.all("license") == ("MIT", "Apache")
    assert modelfile.last("license") == "Apache"
    assert modelfile.last("system") == "hi"
    assert Modelfile(()).last("system") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SYSTEM a b  c \t", "a b  c"),
        ("SYSTEM \t a", "a"),
        ("SYSTEM\ta", "a"),
        ('SYSTEM "a"', "a"),
        ('SYSTEM " a "', " a "),
        ('SYSTEM ""', ""),
        ("SYSTEM ", ""),
        ('SYSTEM """a"""', "a"),
        ('SYSTEM """\na\n"""', "\na\n"),
        ('SYSTEM "a\nb"', "a\nb"),
        ('SYSTEM """a "b" c"""', 'a "b" c'),
        ('SYSTEM "a" b"', 'a" b'),
        ('SYSTEM "a" b\nc"', 'a" b\nc'),
        ('SYSTEM a "b"', 'a "b"'),
        ("SYSTEM 'a'", "'a'"),
        (r"SYSTEM a\nb", r"a\nb"),
        ("SYSTEM a # b", "a # b"),
        ('SYSTEM """a""""', 'a"'),
        ("SYSTEM a\r\n", "a"),
        ("SYSTEM a\x00\x07b", "ab"),
        ("SYSTEM \U0001f469\u200d\U0001f680 ñ\u00a0x", "\U0001f469\u200d\U0001f680 ñ\u00a0x"),
    ],
)
def test_values_are_trimmed_and_unquoted(text: str, value: str) -> None:
    assert values(text) == [("system", "", value)]


def test_a_message_is_a_role_and_a_text() -> None:
    assert values('MESSAGE  user\t"a: b\nc"\nMESSAGE assistant hi') == [
        ("message", "user", "a: b\nc"),
        ("message", "assistant", "hi"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no FROM line"),
        ("# FROM x", "no FROM line"),
        ("SYSTEM x", "no FROM line"),
        ("FROM x\nFOO bar", f"(line 2): {WANTED}"),
        ("FROM x\n\n\n!bar", f"(line 4): {WANTED}"),
        ("FROM x\nSYS1 bar", f"(line 2): {WANTED}"),
        ("FROM", "(line 1): unexpected EOF"),
        ("FROM\n", "(line 1): FROM has no value"),
        ("FROM x\nPARAMETER temp", "(line 2): unexpected EOF"),
        ("FROM x\nMESSAGE us", "(line 2): unexpected EOF"),
        ("FROM x\nMESSAGE bob hi",
         '(line 2): message role must be one of "system", "user", or "assistant"'),
        ("FROM x\nMESSAGE User hi",
         '(line 2): message role must be one of "system", "user", or "assistant"'),
        ("FROM x\nPARAMETER\n",
         "(line 2): PARAMETER has no value"),
        ("FROM x\nPARAMETER a-b 1",
         "(line 2): PARAMETER must be followed by a name, a space and a value"),
        ('FROM x\n\nSYSTEM "a\nb\n',
         "(line 5): unexpected EOF: the quote opened on line 3 never closes"),
        ('FROM x\nSYSTEM """a"',
         "(line 2): unexpected EOF: the quote opened on line 2 never closes"),
    ],
)  # fmt: skip
def test_errors_carry_the_line(text: str, sentence: str) -> None:
    with pytest.raises(ModelfileError) as caught:
        parse_modelfile(text)
    assert caught.value.sentence == sentence


def test_encodings_are_told_by_their_mark() -> None:
    text = "FROM x\nSYSTEM ñandú"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert parse_modelfile(text.encode(encoding)).last("system") == "ñandú"
    big = b"\xfe\xff" + text.encode("utf-16-be")
    assert parse_modelfile(big).last("system") == "ñandú"
    with pytest.raises(ModelfileError, match=r"\(line 2\): the Modelfile is not UTF-8"):
        parse_modelfile(text.encode("latin-1"))
    with pytest.raises(ModelfileError, match="not UTF-16"):
        parse_modelfile(b"\xff\xfeF")


@pytest.mark.parametrize(
    ("name", "texts", "value"),
    [
        ("temperature", ["0.5"], 0.5),
        ("temperature", ["1"], 1.0),
        ("temperature", ["1e-2"], 0.01),
        ("num_ctx", ["4096"], 4096),
        ("num_ctx", ["1", "2"], 2),
        ("seed", ["-1"], -1),
        ("use_mmap", ["true"], True),
        ("use_mmap", ["F"], False),
        ("stop", ["a"], ["a"]),
        ("stop", ["a", " b"], ["a", " b"]),
        ("draft_num_predict", ["4"], 4),
        ("adapter_scale", ["1"], [1.0]),
        ("adapter_scale", ["0.7", "-2"], [0.7, -2.0]),
    ],
)
def test_parameters_are_typed_by_their_option(name: str, texts: list[str], value: Any) -> None:
    parsed = parse_parameter(name, texts)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("foo", "1", "unknown parameter 'foo'"),
        ("num_ctx", "4k", "invalid int value [4k]"),
        ("num_ctx", "1.5", "invalid int value [1.5]"),
        ("num_ctx", "1_000", "invalid int value [1_000]"),
        ("num_ctx", "", "invalid int value []"),
        ("num_ctx", "٣", "invalid int value [٣]"),
        ("temperature", "hot", "invalid float value [hot]"),
        ("temperature", "nan", "invalid float value [nan]"),
        ("temperature", "1_0", "invalid float value [1_0]"),
        ("use_mmap", "yes", "invalid bool value [yes]"),
        ("adapter_scale", "much", "invalid float value [much]"),
        ("adapter_scale", "inf", "invalid float value [inf]"),
    ],
)
def test_parameters_that_are_none_are_refused(name: str, text: str, sentence: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_parameter(name, [text])
    assert caught.value.sentence == sentence
    with pytest.raises(ModelfileError) as caught:
        parse_modelfile(f'FROM x\nPARAMETER {name} "{text}"').parameters()
    assert caught.value.sentence == f"(line 2): {sentence}"


def test_parameters_are_gathered() -> None:
    text = "FROM x\nPARAMETER stop a\nPARAMETER top_k 1\nPARAMETER stop b\nPARAMETER top_k 2\n"
    text += "".join(f"PARAMETER {name} 1\n" for name in DEPRECATED_PARAMETERS)
    assert parse_modelfile(text).parameters() == {"stop": ["a", "b"], "top_k": 2}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a b", "a b"),
        ("", '""'),
        (" a", '" a"'),
        ("a\nb", '"a\nb"'),
        ('say "hi"\nnow', '"""say "hi"\nnow"""'),
        ('"a"', '""""a""""'),
        ('a"\nb', '"""a"\nb"""'),
    ],
)
def test_values_are_quoted_where_they_must_be(value: str, written: str) -> None:
    assert quote(value) == written


texts = st.text(st.sampled_from('ab "\n\t#:ñ\u200d'), max_size=12)
keys = {"parameter": st.sampled_from(["stop", "seed"]), "message": st.sampled_from(["user"])}
commands = st.sampled_from(COMMANDS).flatmap(
    lambda name: st.builds(Command, st.just(name), texts, keys.get(name, st.just("")))
)


def is_writable(command: Command) -> bool:
    """Not both an open single and an open triple quote end at a line's end."""
    lines = [line.rstrip(" \t") for line in command.value.split("\n")[:-1]]
    return not any(line.endswith('"""') for line in lines)


@given(st.lists(commands.filter(is_writable), max_size=6))
@settings(deadline=None)
def test_a_modelfile_reads_back(listed: list[Command]) -> None:
    first = Command("from", "x")
    text = format_modelfile(Modelfile((first, *listed)))
    parsed = parse_modelfile(text)
    assert [(c.name, c.key, c.value) for c in parsed.commands] == [
        (c.name, c.key, c.value) for c in (first, *listed)
    ]
    assert format_modelfile(parsed) == text


@given(st.text())
@settings(deadline=None)
def test_any_text_ends_in_a_modelfile_or_a_sentence(text: str) -> None:
    with suppress(ModelfileError):
        parse_modelfile(f"FROM x\n{text}")
