"""`ayllu engine`: which llama.cpp runs the models, and what it can do here."""

from __future__ import annotations

import click


@click.group()
def engine() -> None:
    """Show the engine, llama-server."""


@engine.command()
def info() -> None:
    """Show the engine's version, the CPU features it uses, its backends and its paths."""
    from ayllu.config import load_settings
    from ayllu.runner.engine import engine_facts, find_engine

    found = find_engine(load_settings())
    facts = engine_facts(found)
    commit = f" (commit {found.commit})" if found.commit else ""
    rows = {
        "version": f"{found.version}{commit}",
        "source": found.source,
        "RPC protocol": facts.rpc_protocol,
        "CPU features": " ".join(facts.cpu_features) or "unknown",
        "backends": " ".join(facts.backends) or "unknown",
        "GPUs": "; ".join(facts.devices) or "none",
        "llama-server": str(found.server),
        "RPC worker": str(found.rpc_server),
    }
    for name, value in rows.items():
        click.echo(f"{name:<14}{value}")
