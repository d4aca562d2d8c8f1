"""The house's rules that no linter knows: which way imports go, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "ayllu"

ROOMS = (
    "types errors gotime",
    "watch values",
    "config",
    "db log system torch_python",
    "gguf",
    "template",
    "models",
    "registry",
    "runner",
    "chat",
    "cluster",
    "deploy",
    "trainer",
    "tune",
    "server",
)
"""A room may import what stands above it; names on one line are told apart by the files alone."""

CLI_MAY_IMPORT = {
    "types",
    "errors",
    "gotime",
    "config",
    "log",
    "system",
    "values",
    "models.extra",
    "models.files",
    "models.name",
    "models.modelfile",
    "runner.engine",
    "cli",
}
"""The command line reaches everything else through HTTP; only `ayllu serve` imports the server."""

LONGEST_FILE = 400


def rank(module: str) -> int:
    room = module.split(".", maxsplit=1)[0]
    return next(i for i, names in enumerate(ROOMS) if room in names.split())


def our_imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, `ayllu.` left out."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("ayllu.") and is_module(name.removeprefix("ayllu.")):
                yield name.removeprefix("ayllu.")


def is_module(name: str) -> bool:
    path = SOURCE.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


SOURCES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_go_one_way(path: Path) -> None:
    module = module_of(path)
    room = module.split(".")[0]
    if module in {"__init__", "__main__"}:
        return
    for imported in our_imports(path):
        if imported.split(".")[0] == room:
            continue
        if room == "cli":
            allowed = any(
                imported == name or name.startswith(f"{imported}.") for name in CLI_MAY_IMPORT
            ) or (module == "cli.serve" and "server" in imported)
            assert allowed, f"{module} imports {imported}"
        else:
            assert rank(imported) < rank(room), f"{module} imports {imported}"


def test_every_room_has_a_rank() -> None:
    ranked = set(" ".join(ROOMS).split()) | {"cli", "assets", "__init__", "__main__"}
    assert {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCES} <= ranked


def code_files() -> list[Path]:
    folders = [ROOT / name for name in ("src", "tests", "bench", "tools", "web")]
    endings = {".py", ".go", ".ts", ".js", ".svelte", ".css"}
    files = (path for folder in folders if folder.exists() for path in folder.rglob("*"))
    ours = (path for path in files if "node_modules" not in path.parts)
    return sorted(path for path in ours if path.suffix in endings and path.is_file())


def test_no_file_is_too_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in code_files()
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_file_says_what_it_owns() -> None:
    silent = [
        module_of(p) for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text("utf-8")))
    ]
    assert silent == []
