"""Where a model runs and how fast, as /api/ps, plans and deployments show it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ayllu.cluster.record import Stage
from ayllu.deploy.deployment import Deployment
from ayllu.runner.place import LoadedModel
from ayllu.server.wire_deployments import Placement
from ayllu.server.wire_plan import StageRow


def placement(row: LoadedModel, names: Mapping[str, str]) -> Placement | None:
    """What there is to say of a loaded model; `names` are the machines', by their ids."""
    measured = round(row.rate, 2)
    if isinstance(row.share, Deployment):
        return Placement(
            stages=stage_rows(row.share.stages, names),
            predicted=round(row.share.predicted.tokens_per_second, 2),
            measured=measured,
            replays=row.share.replays,
        )
    return Placement(measured=measured) if measured else None


def stage_rows(stages: Iterable[Stage], names: Mapping[str, str]) -> tuple[StageRow, ...]:
    """Stages with the names of their machines; one that is gone has its id."""
    return tuple(
        StageRow(one.node, names.get(one.node, one.node), one.first, one.layers, one.size)
        for one in stages
    )
