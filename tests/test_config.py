from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ayllu.config import ConfigError, load_settings, parse_address
from ayllu.gotime import FOREVER
from ayllu.values import hours, portion


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("box", "http://box:11434"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("::1", "http://[::1]:11434"),
        ("http://box", "http://box:80"),
        ("https://box", "https://box:443"),
        ("https://box:444/ayllu/", "https://box:444/ayllu"),
    ],
)
def test_addresses_take_every_form_of_ollamas(text: str, url: str) -> None:
    assert parse_address(text).url == url


@pytest.mark.parametrize("text", ["box:port", "box:99999", "box:-1"])
def test_a_bad_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_address(text)


def test_clients_reach_a_wildcard_address_by_loopback() -> None:
    assert parse_address("0.0.0.0:1").client_url == "http://127.0.0.1:1"
    assert parse_address("[::]:1").client_url == "http://[::1]:1"


def test_without_any_setting_everything_has_a_default(tmp_path: Path) -> None:
    settings = load_settings({"AYLLU_HOME": str(tmp_path)})
    assert settings.models == tmp_path / "models"
    assert settings.host.url == "http://127.0.0.1:11434"
    assert settings.keep_alive == 300
    assert settings.cache_ram == 1 << 30


def test_our_variable_outranks_ollamas_and_both_outrank_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('keep_alive = "1m"\nnum_parallel = 2\nmax_queue = 7\n')
    environment = {
        "AYLLU_HOME": str(tmp_path),
        "AYLLU_KEEP_ALIVE": "3m",
        "OLLAMA_KEEP_ALIVE": "2m",
        "OLLAMA_NUM_PARALLEL": " '5' ",
    }
    settings = load_settings(environment)
    assert (settings.keep_alive, settings.num_parallel, settings.max_queue) == (180, 5, 7)


def test_ollamas_own_spellings_are_honoured(tmp_path: Path) -> None:
    environment = {
        "AYLLU_HOME": str(tmp_path),
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_LOAD_TIMEOUT": "0",
        "OLLAMA_FLASH_ATTENTION": "1",
        "OLLAMA_MODELS": str(tmp_path / "elsewhere"),
        "OLLAMA_ORIGINS": "https://a.example, https://b.example",
    }
    settings = load_settings(environment)
    assert settings.no_prune
    assert settings.keep_alive == settings.load_timeout == FOREVER
    assert settings.flash_attention == "on"
    assert settings.models == tmp_path / "elsewhere"
    assert settings.origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("1", True), ("true", True), ("0", False), ("False", False)]
)
def test_whether_go_templates_are_used_may_be_left_open(
    tmp_path: Path, text: str, value: bool | None
) -> None:
    environment = {"AYLLU_HOME": str(tmp_path), "OLLAMA_GO_TEMPLATE": text}
    assert load_settings(environment).go_template is value


def test_zero_means_the_usual_number_as_in_ollama(tmp_path: Path) -> None:
    names = ("NUM_PARALLEL", "MAX_LOADED_MODELS", "MAX_QUEUE", "CONTEXT_LENGTH")
    zeros = {f"OLLAMA_{name}": "0" for name in names}
    usual = load_settings({"AYLLU_HOME": str(tmp_path)})
    assert load_settings({"AYLLU_HOME": str(tmp_path), **zeros}) == usual


def test_words_are_read_in_any_case_and_a_dot_is_a_folder(tmp_path: Path) -> None:
    environment = {
        "AYLLU_HOME": str(tmp_path),
        "OLLAMA_KV_CACHE_TYPE": "Q8_0",
        "AYLLU_FLASH_ATTENTION": "Off",
        "AYLLU_MODELS": ".",
    }
    settings = load_settings(environment)
    assert (settings.kv_cache_type, settings.flash_attention) == ("q8_0", "off")
    assert settings.models == Path()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AYLLU_NUM_PARALLEL", "-1"),
        ("AYLLU_KV_CACHE_TYPE", "q9"),
        ("AYLLU_FLASH_ATTENTION", "maybe"),
        ("AYLLU_HOST", "box:port"),
        ("OLLAMA_KEEP_ALIVE", "soon"),
        ("AYLLU_NUM_PARALLEL", "four"),
        ("AYLLU_CACHE_RAM", "lots"),
    ],
)
def test_a_value_that_cannot_be_used_names_its_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings({"AYLLU_HOME": str(tmp_path), name: value})


@pytest.mark.parametrize(
    ("text", "words"),
    [("keep_alive = ", "cannot be read"), ("keepalive = 1", "keepalive"), ('home = "x"', "home")],
)
def test_a_broken_settings_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_settings({"AYLLU_HOME": str(tmp_path)})


def test_a_machine_has_its_hosts_name_in_the_ayllu_unless_it_is_given_another(
    tmp_path: Path,
) -> None:
    home = {"AYLLU_HOME": str(tmp_path)}
    assert load_settings(home).node_name == socket.gethostname()[:64]
    assert load_settings(home | {"AYLLU_NODE_NAME": " La  cocina "}).node_name == "La cocina"
    assert len(load_settings(home | {"AYLLU_NODE_NAME": "x" * 100}).node_name) == 64


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("CLUSTER", "perhaps", "none of auto, on, off"),
        ("CLUSTER_PORT", "80", "no port from 1024 to 65532"),
        ("CLUSTER_PORT", "65533", "no port from 1024 to 65532"),
        ("CLUSTER_PEERS", "box:17446,box:99999", "out of range"),
        ("CLUSTER_PEERS", "10.0.0.0/8", "no address of a machine"),
        ("NODE_NAME", "a\x1bb", "cannot be shown"),
        ("TRUSTED_LAN", "llama", "shorter than 12 characters"),
        ("CONTRIBUTE_RAM", "much", "could not convert"),
        ("CONTRIBUTE_RAM", "0", "not more than nothing"),
        ("CONTRIBUTE_RAM", "-1G", "not more than nothing"),
        ("CONTRIBUTE_RAM", "infG", "too large"),
        ("CONTRIBUTE_VRAM", "nan", "NaN"),
        ("CONTRIBUTE_VRAM", "101%", "no percentage"),
        ("CONTRIBUTE_VRAM", "nan%", "no percentage"),
        ("CONTRIBUTE_VRAM", "0%", "no percentage"),
        ("CONTRIBUTE_HOURS", "22", "'22' are no hours"),
        ("CONTRIBUTE_HOURS", "9-12,24-3", "'24-3' are no hours"),
        ("CONTRIBUTE_HOURS", "7-7", "'7-7' are no hours"),
        ("CONTRIBUTE_HOURS", "-1-5", "'-1-5' are no hours"),
    ],
)
def test_what_the_ayllu_cannot_use_is_refused(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=f"AYLLU_{name} .*{reason}"):
        load_settings({"AYLLU_HOME": str(tmp_path), f"AYLLU_{name}": text})


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 0), ("512", 512), ("2K", 2048), ("1G", 10_000), ("50%", 5_000), ("0.5%", 50)],
)
def test_a_portion_is_a_size_or_a_percentage_and_never_more_than_all(text: str, size: int) -> None:
    assert portion(text).of(10_000) == size
    assert portion(text).of(0) == 0


@pytest.mark.parametrize(
    ("text", "has", "lacks"),
    [
        ("", {0, 7, 12, 23}, set()),
        ("0-24", {0, 7, 12, 23}, set()),
        ("22-7", {22, 23, 0, 6}, {7, 21}),
        ("18-0", {18, 23}, {0, 17}),
        ("9-12, 14-18", {9, 11, 14, 17}, {8, 12, 13, 18}),
    ],
)
def test_hours_go_over_midnight_and_end_before_their_last(
    text: str, has: set[int], lacks: set[int]
) -> None:
    found = hours(text)
    assert {hour for hour in has | lacks if found.has(hour)} == has
