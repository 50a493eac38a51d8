"""The command line: one thin function a verb; what a verb does stands in `facekd.verbs`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from facekd.errors import FacekdError

PLAIN: dict[str, bool] = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}
out = Console(**PLAIN)
Command = Callable[[argparse.Namespace], int]

INTRODUCTION = """Photographs in, a phone-ready student out.

  photos --align--> crops --pack--> face set --teach--> route --plan--> plan --distill--> student --eval--> report
                                                                                       --export--> package

New here? 'facekd demo' runs all of it on synthetic faces in a few minutes."""


def _align(a: argparse.Namespace) -> int:
    from facekd.verbs.prepare import align

    out.print(align(a.photos, a.out, a.detector, a.size).describe())
    return 0


def _pack(a: argparse.Namespace) -> int:
    from facekd.verbs.prepare import pack

    packed = pack(a.folder, a.out)
    out.print(f"{packed.folder}: {packed.images} images of {packed.identities} people, {packed.size} px")
    if packed.dropped:
        out.print(f"{packed.dropped} people had no image and were left out")
    return 0


def _doctor(a: argparse.Namespace) -> int:
    from facekd.verbs.prepare import doctor

    diagnosis = doctor(*a.faces)
    out.print(diagnosis.describe())
    if a.json:
        from facekd.files import write_json

        write_json(Path(a.json), diagnosis.to_dict())
    return 0 if diagnosis.ok else 1


def _teach(a: argparse.Namespace) -> int:
    from facekd.verbs.teach import teach

    values, places = _split(a.arguments, 2, "FACES OUT")
    run = teach(*places, *values, recipe=a.recipe)
    out.print(f"{run}: model.safetensors and route/ are written; next: facekd plan {run} {run}/plan.json")
    return 0


def _plan(a: argparse.Namespace) -> int:
    from facekd.verbs.plan import plan

    chosen = plan(a.route, a.out, a.strategy, a.anchors, a.points)
    for number, leg in enumerate(chosen.legs):
        out.print(f"stage {number}: point {leg.point}, {leg.share:.0%} of the epochs ({leg.why})")
    out.print(f"{a.out}: written; next: facekd distill FACES {a.out} OUT")
    return 0


def _route_import(a: argparse.Namespace) -> int:
    from facekd.route.importing import import_route

    route = import_route([Path(f) for f in a.files], Path(a.out), name=a.model, size=a.size)
    out.print(
        f"{route.folder}: {len(route.points)} points; "
        f"next: facekd plan {route.folder} plan.json --strategy final --anchors 1"
    )
    return 0


def _distill(a: argparse.Namespace) -> int:
    from facekd.verbs.distill import distill

    values, places = _split(a.arguments, 3, "FACES PLAN OUT")
    run = distill(*places, *values, recipe=a.recipe)
    out.print(f"{run}: model.safetensors is written; next: facekd eval verify --model {run} --pairs FILE --images ROOT")
    return 0


def _verify(a: argparse.Namespace) -> int:
    from facekd.verbs.evaluate import verify

    out.print(verify(a.model, a.pairs, a.images, a.json, a.flip, a.device, a.name).describe())
    return 0


def _megaface(a: argparse.Namespace) -> int:
    from facekd.verbs.evaluate import megaface

    result = megaface(a.model, a.probes, a.distractors, a.probe_features, a.distractor_features, a.json, a.flip,
                      a.device, a.name)
    out.print(result.describe())
    return 0


def _export(a: argparse.Namespace) -> int:
    from facekd.verbs.export import export

    out.print(export(a.model, a.out, a.calibration, a.pairs, a.images).describe())
    return 0


def _report(a: argparse.Namespace) -> int:
    from facekd.verbs.report import report

    table, files = report(*a.runs, out=a.out)
    out.print(table.to_rich())
    for file in files:
        out.print(str(file))
    return 0


def _embed(a: argparse.Namespace) -> int:
    from facekd.verbs.embed import embed

    count = embed(a.folder, a.out, a.model, a.flip, a.device)
    out.print(f"{a.out}: {count} embeddings; labels and places lie beside it")
    return 0


def _compare(a: argparse.Namespace) -> int:
    from facekd.verbs.embed import compare

    found = compare(a.first, a.second, a.model, a.detector, a.far, a.threshold, a.aligned)
    out.print(f"similarity {found.similarity:.3f}")
    if found.same is None:
        out.print(f"no verdict: {found.source}")
    else:
        at = f"at FAR {found.far}, from {found.source}" if found.far else "as given"
        out.print(f"{'the same person' if found.same else 'different people'} (threshold {found.threshold:.3f} {at})")
    return 0


def _demo(a: argparse.Namespace) -> int:
    from facekd.verbs.demo import demo

    table, page = demo(Path(a.out))
    out.print(table.to_rich())
    out.print(f"report: {page}")
    return 0


def _split(arguments: Sequence[str], most: int, places: str) -> tuple[list[str], list[str]]:
    """Part ``key=value`` overrides from the places in front."""
    values = [x for x in arguments if "=" in x and not Path(x).exists()]
    rest = [x for x in arguments if x not in values]
    if len(rest) > most:
        raise FacekdError(f"at most {places} and key=value are understood, not {' '.join(rest[most:])}")
    return values, rest


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("facekd", description=INTRODUCTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    verb = _verb(verbs, "doctor", _doctor, "examine face sets, and say what to do about what is wrong",
                 "facekd doctor faces/train\n"
                 "  facekd doctor faces/train faces/test   (also: is anything shared between them?)")
    verb.add_argument("faces", nargs="+", help="image folders or RecordIO folders")
    verb.add_argument("--json", help="write the diagnosis to this file")

    verb = _verb(verbs, "align", _align, "photographs to aligned crops: largest face, five points, ArcFace template",
                 "facekd align photos crops --detector face_detection_yunet_2023mar.onnx")
    verb.add_argument("photos", help="a folder with one subfolder a person")
    verb.add_argument("out", help="the image folder to write; a second call continues")
    _detector(verb)
    verb.add_argument("--size", type=int, default=112, help="side of the crops in pixels (default 112)")

    verb = _verb(verbs, "pack", _pack, "an image folder to InsightFace RecordIO (train.rec, train.idx, property)",
                 "facekd pack crops faces/train")
    verb.add_argument("folder", help="one subfolder a person")
    verb.add_argument("out", help="the RecordIO folder to write")

    verb = _verb(verbs, "teach", _teach, "train a network on labels under a margin head, and record its route",
                 "facekd teach faces/train runs/teacher model.name=iresnet50\n"
                 "  facekd teach faces/train runs/small model.name=mobilenetv2 'model.options={width: 0.5}' "
                 "model.embedding=128\n"
                 "  facekd teach --recipe runs/teacher/recipe.yaml   (again, or continued after a kill)\n\n"
                 "keys: model.name .size .embedding .options, head.name .scale .margin, "
                 "schedule.epochs .batch .learning_rate\n"
                 "  .shape .warmup .milestones, route.every, machine.device .precision .compile .threads, seed")
    verb.add_argument("arguments", nargs="*", metavar="FACES OUT key=value", help="face set, run folder, recipe keys")
    verb.add_argument("--recipe", help="a YAML recipe; key=value comes on top")

    verb = _verb(verbs, "plan", _plan, "choose the anchors of a route that a student will follow",
                 "facekd plan runs/teacher plans/rco.json --strategy equal --anchors 4\n"
                 "  facekd plan runs/teacher plans/final.json --strategy final --anchors 1     (plain mimicking)\n"
                 "  facekd plan runs/teacher plans/restarts.json --strategy final --anchors 4  (RCO's restart control)")
    verb.add_argument("route", help="a run of teach, or a route folder")
    verb.add_argument("out", help="the plan.json to write")
    verb.add_argument("--strategy", default="equal", help="equal (default), final, manual")
    verb.add_argument("--anchors", type=int, default=4, help="number of stages (default 4)")
    verb.add_argument("--points", type=int, nargs="*", default=[], help="manual: point numbers in order")

    route = verbs.add_parser("route", help="make a route of a teacher you have already").add_subparsers(required=True)
    verb = _verb(route, "import", _route_import,
                 "make a route of arcface_torch checkpoints, or of one InsightFace ONNX",
                 "facekd route import epoch10.pt epoch20.pt routes/r50 --model iresnet50\n"
                 "  facekd route import w600k_r50.onnx routes/buffalo")
    verb.add_argument("files", nargs="+", help="checkpoints in the order they were trained, or one .onnx")
    verb.add_argument("out", help="the route folder to write")
    verb.add_argument("--model", help="architecture of checkpoints, e.g. iresnet50; an ONNX needs none")
    verb.add_argument("--size", type=int, default=112, help="side of their input in pixels (default 112)")

    verb = _verb(verbs, "distill", _distill, "train a student along the anchors of a plan",
                 "facekd distill faces/train plans/rco.json runs/student student.name=mobilefacenet\n"
                 "  facekd distill --recipe runs/student/recipe.yaml   (again, or continued after a kill)\n\n"
                 "keys: student.name .size .embedding .options, mimic.l2 .cosine .normalize .labels, "
                 "schedule.*, head.*,\n"
                 "  cache (float16, float32, off), machine.*, seed")
    verb.add_argument("arguments", nargs="*", metavar="FACES PLAN OUT key=value",
                      help="face set, plan, run folder, keys")
    verb.add_argument("--recipe", help="a YAML recipe; key=value comes on top")

    evaluations = verbs.add_parser("eval", help="measure a model").add_subparsers(required=True)
    add_verify(_verb(evaluations, "verify", _verify, "k-fold accuracy, TAR at FAR, EER, AUC on a pair list",
                     "facekd eval verify --model runs/student --images faces/cfp --pairs faces/cfp/pairs_fp.csv "
                     "--json fp.json\n"
                     "  facekd eval verify --model w600k_r50.onnx --pairs lfw.bin"))
    add_megaface(_verb(evaluations, "megaface", _megaface, "rank-1, CMC and TAR at FAR among distractors",
                       "facekd eval megaface --model runs/student --probes faces/probes "
                       "--distractors faces/distractors"))

    verb = _verb(verbs, "export", _export, "a package for the phone: ONNX, int8 beside it, card, checksums",
                 "facekd export runs/student packages/student --calibration faces/train")
    verb.add_argument("model", help="a run folder or a .safetensors file of facekd")
    verb.add_argument("out", help="the package folder to write")
    verb.add_argument("--calibration", help="face set to calibrate int8 on; without it no int8 file is written")
    verb.add_argument("--pairs", help="pair list to score the float and the int8 file on")
    verb.add_argument("--images", help="folder the pairs' paths start from")

    verb = _verb(verbs, "report", _report, "one report.html a run; several runs in one table",
                 "facekd report runs/student\n  facekd report runs/* --out runs")
    verb.add_argument("runs", nargs="+", help="run folders; those that differ in their seed alone share a row")
    verb.add_argument("--out", help="folder for comparison.html and summary-HARDWARE.json")

    verb = _verb(verbs, "embed", _embed, "embeddings of a folder of aligned crops",
                 "facekd embed crops features.npy --model runs/student")
    verb.add_argument("folder", help="a face set")
    verb.add_argument("out", help="the .npy to write: float32 [images, dimension], unit length")
    _model(verb)

    verb = _verb(verbs, "compare", _compare, "are two photographs of one person?",
                 "facekd compare a.jpg b.jpg --model runs/student --detector face_detection_yunet_2023mar.onnx")
    verb.add_argument("first", help="a photograph")
    verb.add_argument("second", help="another")
    verb.add_argument("--model", required=True, help="run folder, .safetensors, package folder or .onnx")
    _detector(verb)
    verb.add_argument("--far", default="1e-2", help="false accept rate of the verdict (default 1e-2)")
    verb.add_argument("--threshold", type=float, help="use this similarity instead")
    verb.add_argument("--aligned", action="store_true", help="the images are aligned crops already")

    verb = _verb(verbs, "demo", _demo, "the whole way on synthetic faces, in a few minutes", "facekd demo runs/demo")
    verb.add_argument("out", nargs="?", default="runs/demo", help="folder to work in (default runs/demo)")
    return parser


def add_verify(verb: argparse.ArgumentParser) -> None:
    """The options of ``eval verify``, shared with ``eval/verify.py``."""
    _model(verb)
    verb.add_argument("--pairs", required=True, help="CSV fold,path1,path2,same; LFW's pairs.txt; InsightFace .bin")
    verb.add_argument("--images", help="folder the paths start from (not for .bin)")
    _result(verb)
    verb.set_defaults(run=_verify)


def add_megaface(verb: argparse.ArgumentParser) -> None:
    """The options of ``eval megaface``, shared with ``eval/megaface.py``."""
    _model(verb, required=False)
    verb.add_argument("--probes", help="face set of the people to be found, two or more images each")
    verb.add_argument("--distractors", help="face set of other people")
    verb.add_argument("--probe-features", help=".npy [probes, dimension], labels in .labels.npy beside it")
    verb.add_argument("--distractor-features", help=".npy [distractors, dimension]")
    _result(verb)
    verb.set_defaults(run=_megaface)


def _verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Command, summary: str,
          examples: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run)
    return verb


def _model(verb: argparse.ArgumentParser, required: bool = True) -> None:
    verb.add_argument("--model", required=required,
                      help="run folder, .safetensors, package folder, or InsightFace-compatible .onnx")
    verb.add_argument("--no-flip", dest="flip", action="store_false", help="do not sum image and mirror")
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda (torch models; default auto)")


def _result(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", help="write the result to this file (a run folder also keeps it in results/)")
    verb.add_argument("--name", help="what the result is called in results/ and reports")


def _detector(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--detector", help="YuNet or SCRFD as ONNX (default: $FACEKD_DETECTOR)")


def run(arguments: argparse.Namespace) -> int:
    """Run a parsed command; what a person can mend is printed as one message, without a traceback."""
    try:
        return int(arguments.run(arguments))
    except FacekdError as error:
        Console(stderr=True, **PLAIN).print(f"facekd: {error}", style="bold")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command continues\n")
        return 130


def main() -> None:
    """Entry point of ``facekd``."""
    parser = _parser()
    arguments, rest = parser.parse_known_args()
    overrides = [text for text in rest if "=" in text and not text.startswith("-")]  # those that stand behind an option
    if len(overrides) < len(rest) or (rest and "arguments" not in arguments):
        parser.error(f"not understood: {' '.join(text for text in rest if text not in overrides) or ' '.join(rest)}")
    if overrides:
        arguments.arguments += overrides
    sys.exit(run(arguments))
