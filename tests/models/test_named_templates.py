"""The package's named templates: what they write, and which Jinja templates they stand for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gguf_maker import CHATML, CHATML_TOOLS_THINK, make_successor_model
from model_maker import make

from ayllu.models.create import CreateRequest
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.model import open_model
from ayllu.models.name import parse_name
from ayllu.models.named_templates import LONGEST, detect, is_named, named_templates
from ayllu.models.store import Store
from ayllu.template import parse, render
from ayllu.types import Message

TURNS = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello"),
    Message(role="user", content="Bye"),
)
WRITTEN = {
    "alfred": (
        "<start_system>Be brief.<end_message><start_user>Hi<end_message><start_assistant>Hello"
        "<end_message><start_user>Bye<end_message><start_assistant>"
    ),
    "alpaca": (
        "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n"
        "### Instruction:\nBye\n\n### Response:\n"
    ),
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "chatqa": "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:",
    "codellama-70b-instruct": (
        "Source: system\n\n Be brief. <step> Source: user\n\n Hi <step> "
        "Source: assistant\n\n Hello <step> Source: user\n\n Bye <step> "
        "Source: assistant\nDestination: user\n\n "
    ),
    "command-r": (
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
    ),
    "falcon-instruct": "System: Be brief.\nUser: Hi\nFalcon: Hello\nUser: Bye\nFalcon:",
    "gemma-instruct": (
        "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello"
        "<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
    ),
    "gemma3-instruct": (
        "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello"
        "<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
    ),
    "granite-instruct": (
        "System:\nBe brief.\n\nQuestion:\nHi\n\nAnswer:\nHello\n\nQuestion:\nBye\n\nAnswer:\n"
    ),
    "llama2-chat": (
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Bye [/INST]"
    ),
    "llama3-instruct": (
        "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "magicoder": (
        "Be brief.\n\n@@ Instruction\nHi\n\n@@ Response\nHello\n\n"
        "@@ Instruction\nBye\n\n@@ Response\n"
    ),
    "mistral-instruct": "[INST] Be brief.\n\nHi [/INST] Hello</s>[INST] Bye [/INST]",
    "openchat": (
        "GPT4 Correct System: Be brief.<|end_of_turn|>GPT4 Correct User: Hi<|end_of_turn|>"
        "GPT4 Correct Assistant: Hello<|end_of_turn|>GPT4 Correct User: Bye<|end_of_turn|>"
        "GPT4 Correct Assistant:"
    ),
    "phi-3": (
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n"
        "<|user|>\nBye<|end|>\n<|assistant|>\n"
    ),
    "solar-instruct": (
        "### System:\nBe brief.\n\n### User:\nHi\n\n### Assistant:\nHello</s>\n\n"
        "### User:\nBye\n\n### Assistant:\n"
    ),
    "starcoder2-instruct": (
        "Be brief.\n\n### Instruction\nHi\n\n### Response\nHello<|endoftext|>\n\n"
        "### Instruction\nBye\n\n### Response\n"
    ),
    "vicuna": "Be brief. USER: Hi ASSISTANT: Hello</s>USER: Bye ASSISTANT:",
    "zephyr": (
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n"
        "<|user|>\nBye</s>\n<|assistant|>\n"
    ),
}


def by_role(system: str, user: str, assistant: str, opening: str) -> str:
    """A Jinja template in the usual manner, one branch for each role; X is the content."""
    branches = "".join(
        f"{{% {'if' if role == 'system' else 'elif'} message['role'] == '{role}' %}}"
        "{{ '" + text.replace("X", "' + message['content'] + '") + "' }}"
        for role, text in (("system", system), ("user", user), ("assistant", assistant))
    )
    return (
        "{{ bos_token }}{% for message in messages %}" + branches + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '" + opening + "' }}{% endif %}"
    )


def alternating(user: str, assistant: str, opening: str = "", first: str = "") -> str:
    """One that insists on turns, with complaints and comments."""
    return (
        "{#- No TOOL: here -#}{{ bos_token }}{% for message in messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate: <|user|> and [INST] <odd>') }}{% endif %}"
        + (f"{{% if loop.index0 == 0 %}}{{{{ '{first}' }}}}{{% endif %}}" if first else "")
        + '{% if message[\'role\'] == "user" %}{{ "'
        + user.replace("X", '" + message["content"] + "')
        + '" }}{% else %}{{ "'
        + assistant.replace("X", '" + message["content"] | trim + "')
        + '" + eos_token }}{% endif %}{% endfor %}'
        + opening
    )


JINJA = {
    "alfred": by_role(
        "<start_system>X<end_message>",
        "<start_user>X<end_message>",
        "<start_assistant>X<end_message>",
        "<start_assistant>",
    ),
    "alpaca": by_role(
        "X\\n\\n",
        "### Instruction:\\nX\\n\\n",
        "### Response:\\nX\\n\\n",
        "### Response:\\n",
    ),
    "chatml": (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "chatqa": by_role("System: X\\n\\n", "User: X\\n\\n", "Assistant: X\\n\\n", "Assistant:"),
    "codellama-70b-instruct": (
        "{% for message in messages %}{% if loop.first %}{{ '<s>' }}{% endif %}"
        "{{ 'Source: ' + message.role + '\\n\\n ' + message.content | trim + ' <step> ' }}"
        "{% endfor %}{{ 'Source: assistant\\nDestination: user\\n\\n ' }}"
    ),
    "command-r": by_role(
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>X<|END_OF_TURN_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>X<|END_OF_TURN_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>X<|END_OF_TURN_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    "falcon-instruct": by_role("System: X\\n", "User: X\\n", "Falcon: X\\n", "Falcon:"),
    "gemma-instruct": (
        "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
        "{{ '<start_of_turn>' + role + '\\n' + m.content | trim + '<end_of_turn>\\n' }}"
        "{% endfor %}{{ '<start_of_turn>model\\n' }}"
    ),
    "gemma3-instruct": (
        "{% for m in messages %}{{ '<start_of_turn>' + m.role + '\\n' }}"
        "{% for item in m.content %}{% if item.type == 'image' %}{{ '<start_of_image>' }}"
        "{% else %}{{ item.text | trim }}{% endif %}{% endfor %}{{ '<end_of_turn>\\n' }}"
        "{% endfor %}{{ '<start_of_turn>model\\n' }}"
    ),
    "granite-instruct": by_role(
        "System:\\nX\\n\\n", "Question:\\nX\\n\\n", "Answer:\\nX\\n\\n", "Answer:\\n"
    ),
    "llama2-chat": alternating("[INST] <<SYS>>X<</SYS>> [/INST]", " X "),
    "llama3-instruct": (
        "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' "
        "+ m.content | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "magicoder": by_role(
        "X\\n\\n", "@@ Instruction\\nX\\n\\n", "@@ Response\\nX\\n\\n", "@@ Response\\n"
    ),
    "mistral-instruct": alternating("[INST] X [/INST]", "X"),
    "openchat": (
        "{{ bos_token }}{% for m in messages %}{{ 'GPT4 Correct ' + m.role.title() + ': ' "
        "+ m.content + '<|end_of_turn|>' }}{% endfor %}{{ 'GPT4 Correct Assistant:' }}"
    ),
    "phi-3": by_role(
        "<|system|>\\nX<|end|>\\n",
        "<|user|>\\nX<|end|>\\n",
        "<|assistant|>\\nX<|end|>\\n",
        "<|assistant|>\\n",
    ),
    "solar-instruct": by_role(
        "### System:\\nX\\n\\n",
        "### User:\\nX\\n\\n",
        "### Assistant:\\nX\\n\\n",
        "### Assistant:\\n",
    ),
    "starcoder2-instruct": alternating(
        "### Instruction\\nX\\n\\n", "### Response\\nX", "### Response\\n", first="You code well."
    ),
    "vicuna": alternating("USER: X ", "ASSISTANT: X", "ASSISTANT:"),
    "zephyr": by_role(
        "<|system|>\\nX</s>\\n",
        "<|user|>\\nX</s>\\n",
        "<|assistant|>\\nX</s>\\n",
        "<|assistant|>\\n",
    ),
}
NONE_OF_THEM = [
    None,
    "",
    CHATML,
    CHATML_TOOLS_THINK,
    "{{ messages[0].content }}",
    "{% if",
    "{{ 'USER: ",
    JINJA["chatml"] + "<think></think>",
    JINJA["chatml"] + "{% if tools %}{{ tools | tojson }}{% endif %}",
    JINJA["chatml"] + " " * LONGEST,
    JINJA["phi-3"].replace("<|user|>", "<|human|>"),
    JINJA["alpaca"].replace("### Response:", "### Response:\\n<|EOT|>"),
    JINJA["vicuna"].replace("USER:", "HUMAN:"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def test_there_are_twenty() -> None:
    assert list(named_templates()) == sorted(WRITTEN) == sorted(JINJA)
    for name, template in named_templates().items():
        assert template.name == name
        assert template.stop
        assert len(set(template.stop)) == len(template.stop)
        assert is_named(template.text)
    assert not is_named("{{ .Prompt }}")


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_conversation_is_written_in_its_format(name: str) -> None:
    template = parse(named_templates()[name].text)
    assert render(template, messages=TURNS) == WRITTEN[name]
    assert not template.variables() & {"tools", "suffix"}


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_an_answer_that_was_begun_is_left_open(name: str) -> None:
    template = parse(named_templates()[name].text)
    opened = render(template, messages=TURNS)
    begun = render(template, messages=[*TURNS, Message(role="assistant", content="See")])
    assert begun.removeprefix(opened).lstrip(" ") == "See"


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_without_a_system_message_none_is_written(name: str) -> None:
    template = parse(named_templates()[name].text)
    text = render(template, messages=TURNS[1:2])
    assert text == render(template, messages=TURNS[-1:]).replace("Bye", "Hi")
    assert text.strip()[0] in "<#@[USGQ"
    assert "ystem" not in text
    assert "SYS" not in text


@pytest.mark.parametrize("name", sorted(JINJA))
def test_a_familys_jinja_is_recognized(name: str) -> None:
    found = detect(JINJA[name])
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("jinja", NONE_OF_THEM)
def test_others_are_not(jinja: str | None) -> None:
    assert detect(jinja) is None


@pytest.mark.parametrize(
    "part",
    ["{{", "{{'", "\n", " ", "A ", '"\\"', "{{ raise_exception(", "{{ raise_exception('a", "<|"],
)
def test_a_hostile_jinja_is_looked_at_once(part: str) -> None:
    """Where the work grew with the square of the length, this would not come back."""
    assert detect(part * (LONGEST // len(part))) is None


def test_a_model_made_of_a_gguf_gets_the_template_and_its_stop_words(
    store: Store, tmp_path: Path
) -> None:
    path = make_successor_model(tmp_path / "x.gguf", chat_template=JINJA["zephyr"])
    digest = store.add_file(path, MODEL_TYPE).digest
    files = {"x.gguf": digest}
    statuses = make(store, "z", CreateRequest(files=files, parameters={"seed": 1}))
    assert statuses[:2] == ["parsing GGUF", "using autodetected template zephyr"]
    model = open_model(store, parse_name("z"))
    named = named_templates()["zephyr"]
    assert model.template == named.text
    assert model.params == {"seed": 1, "stop": list(named.stop)}
    own = CreateRequest(files=files, template="{{ .Prompt }}", parameters={"seed": 1})
    assert "autodetected" not in json.dumps(make(store, "own", own))
    model = open_model(store, parse_name("own"))
    assert (model.template, model.params) == ("{{ .Prompt }}", {"seed": 1})
    make(store, "stops", CreateRequest(files=files, parameters={"stop": ["x"]}))
    assert open_model(store, parse_name("stops")).params == {"stop": ["x"]}
    make(store, "child", CreateRequest(from_="z"))
    assert open_model(store, parse_name("child")).params == {"seed": 1, "stop": list(named.stop)}
