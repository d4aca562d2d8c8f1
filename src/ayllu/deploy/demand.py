"""What is asked of a model, from the options that it would be loaded with."""

from __future__ import annotations

from ayllu.deploy.types import Demand
from ayllu.runner.fit import file_bytes
from ayllu.runner.options import LoadOptions

ACCEPTED = 2.5
"""Tokens that a step with a draft model yields, of five: two in three of the drafted ones hold.

Measured with a draft that nearly always holds: 3.7 of 4, 7.3 of 9; real ones vary with the text.
"""


def demand_of(load: LoadOptions) -> Demand:
    """The demand of a load; its draft model's file is looked at for its size."""
    draft = load.draft if load.draft_tokens else None
    return Demand(
        context=load.context,
        slots=load.parallel,
        batch=load.batch,
        draft=draft.stat().st_size if draft else 0,
        adapters=file_bytes(load.adapters),
        accepted=ACCEPTED if draft else 1.0,
    )
