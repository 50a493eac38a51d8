"""What the command line does: one thin function a verb; what a verb does stands in `facekd.api`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from facekd.cli.console import Command, out
from facekd.cli.deploy import USES
from facekd.cli.evaluate import EVALUATIONS
from facekd.errors import FacekdError


def _align(a: argparse.Namespace) -> int:
    from facekd.api.prepare import align

    out.print(align(a.photos, a.out, a.detector, a.size).describe())
    return 0


def _pack(a: argparse.Namespace) -> int:
    from facekd.api.prepare import pack

    packed = pack(a.folder, a.out)
    out.print(f"{packed.folder}: {packed.images} images of {packed.identities} people, {packed.size} px")
    if packed.dropped:
        out.print(f"{packed.dropped} people had no image and were left out")
    return 0


def _clean(a: argparse.Namespace) -> int:
    from facekd.api.clean import clean

    out.print(clean(a.faces, a.model, a.out, a.angle, a.fewest, a.device).describe())
    return 0


def _doctor(a: argparse.Namespace) -> int:
    from facekd.api.prepare import doctor

    values, places = _split(a.arguments, len(a.arguments), "FACES")
    diagnosis = doctor(*places, recipe=a.recipe, overrides=values, ranks=a.ranks, model=a.model)
    out.print(diagnosis.describe())
    if a.json:
        from facekd.utils.files import write_json

        write_json(Path(a.json), diagnosis.to_dict())
    return 0 if diagnosis.ok else 1


def _teach(a: argparse.Namespace) -> int:
    from facekd.api.train import teach

    values, places = _split(a.arguments, 2, "FACES OUT")
    run = teach(*places, *values, recipe=a.recipe)
    out.print(f"{run}: model.safetensors and route/ are written; next: facekd plan {run} plan.json")
    return 0


def _plan(a: argparse.Namespace) -> int:
    from facekd.api.plan import plan

    chosen = plan(a.route, a.out, a.strategy, a.anchors, a.points, a.delta)
    for number, leg in enumerate(chosen.legs):
        points = ", ".join(map(str, leg.points))
        out.print(f"stage {number}: point {points}, {leg.share:.0%} of the epochs ({leg.why})")
    if chosen.growth:
        out.print("the other stages are chosen while the student is trained (data.withhold=0.05)")
    if a.show:
        _show(a)
    out.print(f"{a.out}: written; next: facekd distill FACES {a.out} OUT")
    return 0


def _show(a: argparse.Namespace) -> None:
    from facekd.api.plan import show
    from facekd.reporting.plots.route import route_table

    places, picture = show(a.out, a.student)
    out.print(route_table(places), soft_wrap=False)
    out.print(f"{picture}: the picture")


def _route_import(a: argparse.Namespace) -> int:
    from facekd.route.import_checkpoints import import_route

    route = import_route([Path(f) for f in a.files], Path(a.out), name=a.model, size=a.size, pixels=a.pixels)
    out.print(
        f"{route.folder}: {len(route.points)} points; "
        f"next: facekd plan {route.folder} plan.json --strategy final --anchors 1"
    )
    return 0


def _distill(a: argparse.Namespace) -> int:
    from facekd.api.distill import distill

    values, places = _split(a.arguments, 3, "FACES PLAN OUT")
    run = distill(*places, *values, recipe=a.recipe)
    out.print(f"{run}: model.safetensors is written; next: facekd eval verify --model {run} --pairs FILE --images ROOT")
    return 0


def _search(a: argparse.Namespace) -> int:
    from facekd.api.search import find, next_steps, show

    values, places = _split(a.arguments, 2, "TEACHER OUT")
    if a.show and len(places) == 1 and not values:
        out.print(f"{show(places[0])}: the picture")
        return 0
    run = find(*places, *values, recipe=a.recipe)
    out.print(f"{run / 'search.json'}: written; next, with the plan of one teacher ('facekd plan --strategy final'):")
    for line in next_steps(run):
        out.print(line)
    if a.show:
        out.print(f"{show(run)}: the picture")
    return 0


def _methods(a: argparse.Namespace) -> int:
    from facekd.api.methods import LEFT_OUT, methods
    from facekd.reporting.tables.methods import methods_table

    out.print(methods_table(methods()), soft_wrap=False)
    out.print("left out: " + "; ".join(f"{name} ({why})" for name, why in LEFT_OUT.items()))
    out.print("'facekd methods show NAME' has equation, weight, options and recipe line; names join: method='kd + rkd'")
    return 0


def _methods_show(a: argparse.Namespace) -> int:
    from facekd.api.methods import show_method

    out.print(show_method(a.name))
    return 0


def _split(arguments: Sequence[str], most: int, places: str) -> tuple[list[str], list[str]]:
    """Part ``key=value`` overrides from the places in front."""
    values = [x for x in arguments if "=" in x and not Path(x).exists()]
    rest = [x for x in arguments if x not in values]
    if len(rest) > most:
        raise FacekdError(f"at most {places} and key=value are understood, not {' '.join(rest[most:])}")
    return values, rest


COMMANDS: dict[str, Command] = {
    "align": _align, "pack": _pack, "clean": _clean, "doctor": _doctor, "teach": _teach, "plan": _plan,
    "route import": _route_import, "distill": _distill, "methods": _methods, "methods show": _methods_show,
    "search": _search, **EVALUATIONS, **USES,
}
