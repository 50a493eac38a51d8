"""What the command line understands: verbs, options, and the help that teaches them."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

INTRODUCTION = """Photographs in, a phone-ready student out.

  photos --align--> crops --pack--> face set --teach--> route --plan--> plan --distill--> student --eval--> report
                                                                                       --export--> package

New here? 'facekd demo' runs all of it on synthetic faces in a few minutes."""


def make_parser() -> argparse.ArgumentParser:
    """The parser; ``verb`` of what it parses names the command, e.g. ``align`` or ``eval verify``."""
    parser = argparse.ArgumentParser("facekd", description=INTRODUCTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    _preparing(verbs)
    _training(verbs)
    _using(verbs)
    return parser


def _preparing(verbs: Verbs) -> None:
    verb = _verb(verbs, "doctor", "examine face sets, and say what to do about what is wrong",
                 "facekd doctor faces/train\n"
                 "  facekd doctor faces/train faces/test   (also: is anything shared between them?)")
    verb.add_argument("faces", nargs="+", help="image folders or RecordIO folders")
    verb.add_argument("--json", help="write the diagnosis to this file")

    verb = _verb(verbs, "align", "photographs to aligned crops: largest face, five points, ArcFace template",
                 "facekd align photos crops --detector face_detection_yunet_2023mar.onnx")
    verb.add_argument("photos", help="a folder with one subfolder a person")
    verb.add_argument("out", help="the image folder to write; a second call continues")
    _detector(verb)
    verb.add_argument("--size", type=int, default=112, help="side of the crops in pixels (default 112)")

    verb = _verb(verbs, "pack", "an image folder to InsightFace RecordIO (train.rec, train.idx, property)",
                 "facekd pack crops faces/train")
    verb.add_argument("folder", help="one subfolder a person")
    verb.add_argument("out", help="the RecordIO folder to write")


def _training(verbs: Verbs) -> None:
    verb = _verb(verbs, "teach", "train a network on labels under a margin head, and record its route",
                 "facekd teach faces/train runs/teacher model.name=iresnet50\n"
                 "  facekd teach faces/train runs/small model.name=mobilenetv2 'model.options={width: 0.5}' "
                 "model.embedding=128\n"
                 "  facekd teach --recipe runs/teacher/recipe.yaml   (again, or continued after a kill)\n\n"
                 "keys: model.name .size .embedding .options, head.name .scale .margin, "
                 "schedule.epochs .batch .learning_rate\n"
                 "  .shape .warmup .milestones, data.classes .withhold .views.*, route.every, "
                 "machine.device\n  .precision .compile .threads, seed")
    verb.add_argument("arguments", nargs="*", metavar="FACES OUT key=value", help="face set, run folder, recipe keys")
    verb.add_argument("--recipe", help="a YAML recipe; key=value comes on top")

    verb = _verb(verbs, "plan", "choose the anchors of a route that a student will follow",
                 "facekd plan runs/teacher plans/rco.json --strategy equal --anchors 4\n"
                 "  facekd plan runs/teacher plans/final.json --strategy final --anchors 1     (plain mimicking)\n"
                 "  facekd plan runs/teacher plans/restarts.json --strategy final --anchors 4  (RCO's restart control)")
    verb.add_argument("route", help="a run of teach, or a route folder")
    verb.add_argument("out", help="the plan.json to write")
    verb.add_argument("--strategy", default="equal",
                      help="equal (default), greedy (the student chooses while it is trained), plateau (of the "
                      "teacher's learning rate), final, mean (of the anchors' outputs, one stage), manual")
    verb.add_argument("--anchors", type=int, default=4, help="number of stages (default 4); greedy: at most so many")
    verb.add_argument("--delta", type=float, default=0.8,
                      help="greedy: the next anchor is the last one whose loss on withheld images is at most 1/delta "
                      "of that of the anchor just followed (default 0.8)")
    verb.add_argument("--points", type=int, nargs="*", default=[], help="manual: point numbers in order")
    verb.add_argument("--show", action="store_true",
                      help="also print and draw the route: learning rate, the teacher's metric, congruence, anchors")
    verb.add_argument("--student", help="with --show: a run whose student is compared with every point")

    route = verbs.add_parser("route", help="make a route of a teacher you have already").add_subparsers(required=True)
    verb = _verb(route, "import", "make a route of arcface_torch checkpoints, or of one InsightFace ONNX",
                 "facekd route import epoch10.pt epoch20.pt routes/r50 --model iresnet50\n"
                 "  facekd route import w600k_r50.onnx routes/buffalo")
    verb.add_argument("files", nargs="+", help="checkpoints in the order they were trained, or one .onnx")
    verb.add_argument("out", help="the route folder to write")
    verb.add_argument("--model", help="architecture of checkpoints, e.g. iresnet50; an ONNX needs none")
    verb.add_argument("--size", type=int, default=112, help="side of their input in pixels (default 112)")
    verb.add_argument("--pixels", default="unit",
                      help="how pixels are scaled: unit (default, faces), cifar10, cifar100, imagenet")

    verb = _verb(verbs, "distill", "train a student along the anchors of a plan",
                 "facekd distill faces/train plans/rco.json runs/student student.name=mobilefacenet\n"
                 "  facekd distill --recipe runs/student/recipe.yaml   (again, or continued after a kill)\n\n"
                 "keys: student.name .size .embedding .options .pixels, losses.NAME (labels, l2, cosine, kd, "
                 "hint),\n"
                 "  schedule.*, head.*, data.classes .withhold .views.*, route.every, cache (float16, float32, off), "
                 "machine.*, seed")
    verb.add_argument("arguments", nargs="*", metavar="FACES PLAN OUT key=value",
                      help="face set, plan, run folder, keys")
    verb.add_argument("--recipe", help="a YAML recipe; key=value comes on top")


def _using(verbs: Verbs) -> None:
    evaluations = verbs.add_parser("eval", help="measure a model").add_subparsers(required=True)
    _verify(_verb(evaluations, "verify", "k-fold accuracy, TAR at FAR, EER, AUC on a pair list",
                     "facekd eval verify --model runs/student --images faces/cfp --pairs faces/cfp/pairs_fp.csv "
                     "--json fp.json\n"
                     "  facekd eval verify --model w600k_r50.onnx --pairs lfw.bin"))
    _megaface(_verb(evaluations, "megaface", "rank-1, CMC and TAR at FAR among distractors",
                       "facekd eval megaface --model runs/student --probes faces/probes "
                       "--distractors faces/distractors"))

    _classes(_verb(evaluations, "cifar", "top-1, top-5, calibration and agreement on the test images of a class set",
                   "facekd eval cifar --model runs/student --data cifar-100-python --teacher runs/teacher"))
    _classes(_verb(evaluations, "imagenet", "the same on ImageNet: the shorter side resized, the centre cut",
                   "facekd eval imagenet --model runs/student --data imagenet   (with train/ and val/)"))

    verb = _verb(verbs, "export", "a package for the phone: ONNX, int8 beside it, card, checksums",
                 "facekd export runs/student packages/student --calibration faces/train")
    verb.add_argument("model", help="a run folder or a .safetensors file of facekd")
    verb.add_argument("out", help="the package folder to write")
    verb.add_argument("--calibration", help="face set to calibrate int8 on; without it no int8 file is written")
    verb.add_argument("--pairs", help="pair list to score the float and the int8 file on")
    verb.add_argument("--images", help="folder the pairs' paths start from")

    verb = _verb(verbs, "report", "one report.html a run; several runs in one table",
                 "facekd report runs/student\n  facekd report runs/* --out runs")
    verb.add_argument("runs", nargs="+", help="run folders; those that differ in their seed alone share a row")
    verb.add_argument("--out", help="folder for comparison.html and summary-HARDWARE.json")
    verb.add_argument("--results", help="a CSV that receives a row a run, e.g. results/mine-{hardware}.csv")

    verb = _verb(verbs, "embed", "embeddings of a folder of aligned crops",
                 "facekd embed crops features.npy --model runs/student")
    verb.add_argument("folder", help="a face set")
    verb.add_argument("out", help="the .npy to write: float32 [images, dimension], unit length")
    _model(verb)

    verb = _verb(verbs, "compare", "are two photographs of one person?",
                 "facekd compare a.jpg b.jpg --model runs/student --detector face_detection_yunet_2023mar.onnx")
    verb.add_argument("first", help="a photograph")
    verb.add_argument("second", help="another")
    verb.add_argument("--model", required=True, help="run folder, .safetensors, package folder or .onnx")
    _detector(verb)
    verb.add_argument("--far", default="1e-2", help="false accept rate of the verdict (default 1e-2)")
    verb.add_argument("--threshold", type=float, help="use this similarity instead")
    verb.add_argument("--aligned", action="store_true", help="the images are aligned crops already")

    verb = _verb(verbs, "demo", "the whole way on synthetic faces, in a few minutes", "facekd demo runs/demo")
    verb.add_argument("out", nargs="?", default="runs/demo", help="folder to work in (default runs/demo)")


def _verify(verb: argparse.ArgumentParser) -> None:
    _model(verb)
    verb.add_argument("--pairs", required=True, help="CSV fold,path1,path2,same; LFW's pairs.txt; InsightFace .bin")
    verb.add_argument("--images", help="folder the paths start from (not for .bin)")
    _result(verb)


def _megaface(verb: argparse.ArgumentParser) -> None:
    _model(verb, required=False)
    verb.add_argument("--probes", help="face set of the people to be found, two or more images each")
    verb.add_argument("--distractors", help="face set of other people")
    verb.add_argument("--probe-features", help=".npy [probes, dimension], labels in .labels.npy beside it")
    verb.add_argument("--distractor-features", help=".npy [distractors, dimension]")
    _result(verb)


def _classes(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--model", required=True,
                      help="run folder, .safetensors, package folder or .onnx whose outputs are logits")
    verb.add_argument("--data", required=True,
                      help="class set: unpacked CIFAR archive, Parquet, train/ and val/ with a folder a class")
    verb.add_argument("--teacher", help="another classifier; also tells how often the two agree")
    verb.add_argument("--split", default="test", choices=["test", "train"], help="which images (default test)")
    verb.add_argument("--classes", type=int, default=0, help="only the first so many classes (default all)")
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda (torch models; default auto)")
    _result(verb)


def _verb(verbs: Verbs, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    verb = verbs.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(verb=verb.prog.removeprefix("facekd "))
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
