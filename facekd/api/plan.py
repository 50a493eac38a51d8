"""``facekd plan``: choose anchors on a route, and show the route they are on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from facekd.config.loading import recipe_of
from facekd.data.image_set import withhold
from facekd.data.training_set import open_training
from facekd.models.weights import load_model
from facekd.reporting.plots.route import route_picture
from facekd.route.congruence import TEMPERATURE, congruence_on
from facekd.route.plan import Plan
from facekd.route.profile import Place, profile
from facekd.route.route import Route
from facekd.route.strategies import make_plan
from facekd.run import Run
from facekd.training.machine import find_device
from facekd.utils import files

SAMPLE = 1000
"""Training images to look at where a teacher's recipe withheld none."""


def plan(route: Path | str, out: Path | str, strategy: str = "equal", anchors: int = 4,
         points: Sequence[int] = (), delta: float = 0.8) -> Plan:
    """Choose anchors on a route and write them as ``plan.json``.

    Args:
        route: a run of teach, or a route folder.
        out: the file to write.
        strategy: ``equal``, ``greedy``, ``plateau``, ``final``, ``mean`` or ``manual``, see `facekd.route.strategies`.
        anchors: number of stages.
        points: for ``manual``.
        delta: for ``greedy``, see `facekd.route.anchor_schedule`.

    Raises:
        RouteError: no such route or points.
    """
    chosen = make_plan(Route.open(route), strategy, anchors, points, delta)
    chosen.write(Path(out))
    return chosen


def show(plan_file: Path | str, student: Path | str | None = None) -> tuple[list[Place], Path]:
    """Draw the route of a plan: learning rate, the teacher's metric and congruence, with the anchors marked.

    Congruence and accuracy are measured on the images that the teacher's recipe withheld from training, or on 1,000 of
    its training images where it withheld none; for an imported route, whose data is not known, they are left out.

    Args:
        plan_file: ``plan.json``; of a run that walked greedily, the one in its folder.
        student: a run whose student is to be compared with every point.

    Returns:
        what was found at each point, and the picture's file, beside the plan.

    Raises:
        RouteError: no such plan, or a point is missing.
        DataError: the teacher's training set is no longer there.
    """
    path = Path(plan_file)
    chosen, route = Plan.read(path)
    run = Run(route.folder.parent)
    spec = route.spec if (run.path / "recipe.yaml").is_file() else None
    places = _measured(route, spec.size, run, student) if spec else profile(route)
    anchors = [point for leg in chosen.legs for point in leg.points]
    picture = path.with_suffix(".svg")
    files.write_text(picture, route_picture(places, anchors, f"{run.path.name}, anchors: {chosen.strategy}"))
    return places, picture


def _measured(route: Route, size: int, teacher: Run, student: Path | str | None) -> list[Place]:
    recipe = recipe_of(teacher.path, teacher.info()["verb"])
    data, closed = open_training(recipe.faces, recipe.data, recipe.head.closed), recipe.head.closed
    images = data.withheld or withhold(data.images, min(0.49, SAMPLE / len(data.images)))[1]
    network = load_model(Run(Path(student)).model).to(find_device(recipe.machine.device)) if student else None

    @torch.no_grad()
    def outputs(batch: torch.Tensor) -> torch.Tensor:
        assert network is not None
        return torch.as_tensor(network(network.inputs(batch))).float()

    congruence = congruence_on(images, data.view, size, route, outputs, TEMPERATURE if closed else None,
                               recipe.machine)
    return profile(route, congruence, images.labels if closed else None, network is not None)
