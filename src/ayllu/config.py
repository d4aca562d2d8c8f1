"""All settings in one frozen struct, read once from the environment and `config.toml`.

A setting is taken from `AYLLU_X`, else `OLLAMA_X`, else `config.toml` in the home folder, else its
default. The common case needs none.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from ayllu import values
from ayllu.errors import AylluError
from ayllu.gotime import parse_keep_alive

DEFAULT_PORT = 11434
CLUSTER_PORT = 17446
"""The default of the setting `cluster_port`."""
KV_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


class ConfigError(AylluError):
    """A setting has a value that cannot be used; the sentence names the setting."""


class Address(Struct, frozen=True):
    """Where the server listens and clients connect."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """The base URL without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def client_url(self) -> str:
        """The URL a client on this machine uses: a wildcard address becomes loopback."""
        wildcard = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - a lookup
        return Address(self.scheme, wildcard.get(self.host, self.host), self.port, self.path).url


class Settings(Struct, frozen=True, kw_only=True):
    """Every setting, in the units given. `docs/settings.md` is generated from `SETTINGS` below."""

    home: Path
    models: Path
    extra_models: tuple[Path, ...]
    host: Address
    origins: tuple[str, ...]
    api_keys: tuple[str, ...]
    no_auth: bool
    keep_alive: float
    load_timeout: float
    first_token_timeout: float
    token_timeout: float
    num_parallel: int
    max_loaded_models: int
    max_queue: int
    context_length: int
    flash_attention: str
    kv_cache_type: str
    cache_ram: int
    go_template: bool | None
    max_body: int
    response_space: int
    response_age: float
    serve_registry: str
    no_prune: bool
    no_history: bool
    no_autostart: bool
    debug: bool
    registries: tuple[str, ...]
    registry_logins: tuple[str, ...]
    max_bandwidth: int
    llama_bin: str
    torch_python: str
    hf_token: str
    hf_endpoint: str
    cluster: str
    cluster_port: int
    cluster_peers: tuple[str, ...]
    cluster_interfaces: tuple[str, ...]
    node_name: str
    trusted_lan: str
    share_models: bool
    contribute: bool
    contribute_ram: values.Portion
    contribute_vram: values.Portion
    contribute_hours: values.Hours
    copy_models: bool


def parse_address(text: str) -> Address:
    """The address in `host`, `host:port`, `:port`, `[v6]:port` or `scheme://host:port/path`.

    The port defaults to 11434, to 80 after `http://` and to 443 after `https://`.
    Raises ValueError when the port is no port.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"
    parts = urlsplit(f"//{rest}")
    port = parts.port  # raises ValueError
    host = parts.hostname if parts.hostname is not None else "127.0.0.1"
    return Address(scheme, host, default if port is None else port, parts.path.rstrip("/"))


_SWITCH = {"1": "on", "0": "off", "true": "on", "false": "off"}
"""Ollama's flash attention is a boolean."""


def _hosts(text: str) -> tuple[str, ...]:
    """Hosts, `host:port` or networks in CIDR. Raises ValueError for a network or port that is none.

    `registry/addresses.py` says what they mean.
    """
    words = values.words(text)
    for word in words:
        if "/" in word:
            ip_network(word, strict=False)
        else:
            parse_address(word)
    return words


def parse_peers(text: str) -> tuple[str, ...]:
    """Addresses of machines, `host` or `host:port`. Raises ValueError."""
    words = values.words(text)
    for word in words:
        if not re.fullmatch(r"[\w.:%\[\]-]+", word) or not parse_address(word).host:
            raise ValueError(f"{word!r} is no address of a machine")
    return words


def _logins(text: str) -> tuple[str, ...]:
    words = values.words(text)
    for word in words:
        login, _, host = word.rpartition("@")
        if ":" not in login or not host:
            raise ValueError("a login is written user:password@host")
        parse_address(host)
    return words


class Setting(Struct, frozen=True):
    """One setting: its name in `config.toml`, how its text is read, its default and its meaning."""

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str
    ollama: str = ""
    other: str = ""

    @property
    def variable(self) -> str:
        """The environment variable of ours."""
        return f"AYLLU_{self.name.upper()}"

    @property
    def other_variable(self) -> str:
        """The variable of Ollama's, or of others, that is honoured where ours is unset."""
        return self.other or f"OLLAMA_{(self.ollama or self.name).upper()}"


SETTINGS = (
    Setting(
        "home", str, "~/.ayllu", "folder of everything Ayllu keeps: history, answers, logs, models"
    ),
    Setting("models", str, "", "models folder, in Ollama's layout; empty: `models` in the home"),
    Setting(
        "extra_models",
        values.paths,
        "",
        "folders with more models, only read: Ollama's, LM Studio's, of GGUFs; comma-separated",
    ),
    Setting("host", parse_address, "127.0.0.1:11434", "address to listen on and to connect to"),
    Setting(
        "origins", values.words, "", "web origins allowed besides this machine's, comma-separated"
    ),
    Setting("api_keys", values.words, "", "keys that other machines must show, comma-separated"),
    Setting("no_auth", values.boolean, "false", "let other machines in without a key"),
    Setting("keep_alive", parse_keep_alive, "5m", "how long an idle model stays; -1 for ever"),
    Setting(
        "load_timeout",
        values.timeout,
        "5m",
        "longest silence of the engine while it loads; 0: none",
    ),
    Setting(
        "first_token_timeout", values.timeout, "10m", "longest wait for a first token; 0: none"
    ),
    Setting("token_timeout", values.timeout, "2m", "longest wait between two tokens; 0: no limit"),
    Setting("num_parallel", values.count(4), "4", "requests one loaded model serves at once"),
    Setting("max_loaded_models", values.count(3), "3", "models kept in memory at once"),
    Setting("max_queue", values.count(512), "512", "requests that may wait for a model"),
    Setting(
        "context_length", values.count(4096), "4096", "context in tokens where nobody asks for one"
    ),
    Setting(
        "flash_attention",
        values.one_of("on", "off", "auto", **_SWITCH),
        "auto",
        "`on`, `off` or `auto`",
    ),
    Setting(
        "kv_cache_type",
        values.one_of(*KV_CACHE_TYPES),
        "f16",
        "type of the KV cache: f16, q8_0, q4_0, ...",
    ),
    Setting("cache_ram", values.size, "1G", "memory per loaded model for prompts seen before"),
    Setting(
        "go_template",
        values.whether,
        "",
        "render with a model's Go template, or with its Jinja one; empty: what they can do decides",
    ),
    Setting("max_body", values.size, "160M", "largest request body, blobs apart"),
    Setting(
        "response_space",
        values.size,
        "256M",
        "disk space for answers of `/v1/responses`; the longest unused go; 0: none is stored",
    ),
    Setting(
        "response_age",
        values.timeout,
        "720h",
        "how long a stored answer is kept after its last use; 0: no limit",
    ),
    Setting(
        "serve_registry",
        values.one_of("off", "on", "open"),
        "off",
        "`on` lets others pull these models at `/v2/`, `open` without a key too",
    ),
    Setting("no_prune", values.boolean, "false", "keep unused blobs at start", ollama="noprune"),
    Setting("no_history", values.boolean, "false", "no prompt history on disk", ollama="nohistory"),
    Setting("no_autostart", values.boolean, "false", "commands start no server when none runs"),
    Setting("debug", values.boolean, "false", "log more"),
    Setting(
        "registries",
        _hosts,
        "",
        "hosts, `host:port` or networks (`10.0.0.0/8`) that may hold a registry though their "
        "addresses are private, comma-separated",
    ),
    Setting(
        "registry_logins",
        _logins,
        "",
        "logins for registries, `user:password@host:port`, comma-separated; for an Ayllu, its API "
        "key as the password of any user",
    ),
    Setting(
        "max_bandwidth", values.size, "0", "bytes per second for downloads and uploads; 0: no limit"
    ),
    Setting(
        "hf_token", str, "", "token for your private Hugging Face repositories", other="HF_TOKEN"
    ),
    Setting(
        "hf_endpoint",
        values.web_address,
        "https://huggingface.co",
        "where models of `hf.co` come from: the Hub or a mirror of it",
        other="HF_ENDPOINT",
    ),
    Setting(
        "cluster",
        values.one_of("auto", "on", "off", **_SWITCH),
        "auto",
        "`auto` takes part in the ayllu that this machine is in, `on` makes one where there is "
        "none, `off` stays alone",
    ),
    Setting(
        "cluster_port",
        values.port,
        str(CLUSTER_PORT),
        "first of the ayllu's four TCP ports (bus, pieces, API, joining) and of its UDP ports",
    ),
    Setting(
        "cluster_peers",
        parse_peers,
        "",
        "addresses of machines of the ayllu where multicast does not find them, comma-separated",
    ),
    Setting(
        "cluster_interfaces",
        values.words,
        "",
        "network interfaces to use, comma-separated; empty: all that are wired or wireless",
    ),
    Setting(
        "node_name", values.node_name, "", "this machine's name in the ayllu; empty: the host's"
    ),
    Setting(
        "trusted_lan",
        values.secret,
        "",
        "a secret: machines of this network that have the same make one ayllu by themselves",
    ),
    Setting("share_models", values.boolean, "true", "give models to other machines of the ayllu"),
    Setting("contribute", values.boolean, "true", "let other machines of the ayllu use this one"),
    Setting(
        "contribute_ram",
        values.portion,
        "",
        "memory that models may take on this machine, others' too: a size or a percentage, as "
        "`50%`; empty: no limit",
    ),
    Setting("contribute_vram", values.portion, "", "the same of all graphics cards' memory"),
    Setting(
        "contribute_hours",
        values.hours,
        "",
        "hours of the day in which others may use this machine, as `22-7`, comma-separated; "
        "empty: always",
    ),
    Setting(
        "copy_models",
        values.boolean,
        "true",
        "copy models here of which this machine computes layers for others; without a copy their "
        "weights come over the network at each start",
    ),
    Setting("llama_bin", str, "", "folder with a llama-server to use instead of the built one"),
    Setting(
        "torch_python",
        str,
        "",
        "Python that has PyTorch, to import and to train; empty: ours, or that of `<ours>-torch`",
    ),
)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. Raises ConfigError naming the first one that cannot be used."""
    env = os.environ if environ is None else environ
    home = Path(env.get("AYLLU_HOME") or "~/.ayllu").expanduser()
    table = _read_toml(home / "config.toml")
    found: dict[str, Any] = {}
    for setting in SETTINGS:
        text, source = _text_of(setting, env, table)
        try:
            found[setting.name] = setting.parse(text)
        except ValueError as error:
            raise ConfigError(
                f"{source} has the value {text!r}, which is not usable: {error}"
            ) from error
    found["home"] = home
    found["models"] = Path(found["models"] or home / "models").expanduser()
    return Settings(**found)


def _text_of(setting: Setting, env: Mapping[str, str], table: Mapping[str, Any]) -> tuple[str, str]:
    """The setting's text, and where it comes from for messages."""
    for variable in (setting.variable, setting.other_variable):
        text = env.get(variable, "").strip().strip("\"'")
        if text:
            return text, variable
    if setting.name in table:
        value = table[setting.name]
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return text, f"{setting.name} in config.toml"
    return setting.default, setting.name


def _read_toml(path: Path) -> Mapping[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    # The home is where this file was found.
    unknown = table.keys() - ({setting.name for setting in SETTINGS} - {"home"})
    if unknown:
        raise ConfigError(f"{path} has a setting that does not exist: {min(unknown)}")
    return table
