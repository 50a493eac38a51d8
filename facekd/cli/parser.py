"""What the command line understands: verbs, options, and the help that teaches them."""

from __future__ import annotations

import argparse

from facekd.cli.common import Verbs, add_detector, add_evaluations, add_verb
from facekd.cli.deploy_arguments import add_uses

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
    add_evaluations(verbs.add_parser("eval", help="measure a model").add_subparsers(required=True))
    add_uses(verbs)
    return parser


def _preparing(verbs: Verbs) -> None:
    verb = add_verb(verbs, "doctor", "examine face sets, or a whole training before it is begun; say what to do",
                 "facekd doctor faces/train\n"
                 "  facekd doctor faces/train faces/test   (also: is anything shared between them?)\n"
                 "  facekd doctor schedule.batch=1024 --recipe teacher.yaml --ranks 8\n"
                 "  facekd doctor faces/test --recipe teacher.yaml --model w600k_r50.onnx   (docs/preflight.md)")
    verb.add_argument("arguments", nargs="*", metavar="FACES key=value",
                      help="image folders or RecordIO folders; with --recipe those to test on, and keys on top")
    verb.add_argument("--recipe", help="of teach or distill: memory, disk, batch, learning rate and its training set")
    verb.add_argument("--ranks", type=int, default=1, help="with --recipe: processes that train together (default 1)")
    verb.add_argument("--model", help="with --recipe: also look at the faces with this model: wrong labels, people "
                      "under two names, test people in the training set")
    verb.add_argument("--json", help="write the diagnosis to this file; of --model the lists to look through, too")

    verb = add_verb(verbs, "align", "photographs to aligned crops: largest face, five points, ArcFace template",
                 "facekd align photos crops --detector face_detection_yunet_2023mar.onnx")
    verb.add_argument("photos", help="a folder with one subfolder a person")
    verb.add_argument("out", help="the image folder to write; a second call continues")
    add_detector(verb)
    verb.add_argument("--size", type=int, default=112, help="side of the crops in pixels (default 112)")

    verb = add_verb(verbs, "clean", "a face set without images that lie far from the person they are labelled as",
                 "facekd clean faces/raw runs/sub faces/clean\n"
                 "      (after 'facekd teach faces/raw runs/sub head.centres=3': from a person's dominant sub-centre)\n"
                 "  facekd clean faces/raw w600k_r50.onnx faces/clean    (any model: from the mean of each person)")
    verb.add_argument("faces", help="the face set to clean")
    verb.add_argument("model", help="a run of teach on this very set with head.centres above 1, or any model")
    verb.add_argument("out", help="folder for the new set, dropped.csv and duplicates.csv")
    verb.add_argument("--angle", type=float, default=75.0,
                      help="degrees from their person beyond which images are dropped (default 75, the paper's choice)")
    verb.add_argument("--fewest", type=int, default=2,
                      help="people with fewer images left are dropped whole (default 2)")
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")

    verb = add_verb(verbs, "pack", "an image folder to InsightFace RecordIO (train.rec, train.idx, property)",
                 "facekd pack crops faces/train")
    verb.add_argument("folder", help="one subfolder a person")
    verb.add_argument("out", help="the RecordIO folder to write")


def _training(verbs: Verbs) -> None:
    verb = add_verb(verbs, "teach", "train a network on labels under a margin head, and record its route",
                 "facekd teach faces/train runs/teacher model.name=iresnet50\n"
                 "  facekd teach faces/train runs/small model.name=mobilenetv2 'model.options={width: 0.5}' "
                 "model.embedding=128\n"
                 "  facekd teach --recipe runs/teacher/recipe.yaml   (again, or continued after a kill)\n\n"
                 "keys: model.name .size .embedding .options, head.name .scale .margin .centres .options, "
                 "schedule.epochs .batch .learning_rate\n"
                 "  .shape .warmup .warmup_steps .milestones .optimizer .accumulate .ema,\n"
                 "  data.classes .withhold .views.*, route.every, machine.device .precision\n"
                 "  .checkpointing .compile .threads, seed (docs/training.md)")
    verb.add_argument("arguments", nargs="*", metavar="FACES OUT key=value", help="face set, run folder, recipe keys")
    verb.add_argument("--recipe", help="a YAML recipe; key=value comes on top")

    verb = add_verb(verbs, "plan", "choose the anchors of a route that a student will follow",
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
    verb = add_verb(route, "import", "make a route of arcface_torch checkpoints, or of one InsightFace ONNX",
                 "facekd route import epoch10.pt epoch20.pt routes/r50 --model iresnet50\n"
                 "  facekd route import w600k_r50.onnx routes/buffalo")
    verb.add_argument("files", nargs="+", help="checkpoints in the order they were trained, or one .onnx")
    verb.add_argument("out", help="the route folder to write")
    verb.add_argument("--model", help="architecture of checkpoints, e.g. iresnet50; an ONNX needs none")
    verb.add_argument("--size", type=int, default=112, help="side of their input in pixels (default 112)")
    verb.add_argument("--pixels", default="unit",
                      help="how pixels are scaled: unit (default, faces), cifar10, cifar100, imagenet")

    verb = add_verb(verbs, "distill", "train a student along the anchors of a plan",
                 "facekd distill faces/train plans/rco.json runs/student student.name=mobilefacenet\n"
                 "  facekd distill --recipe runs/student/recipe.yaml   (again, or continued after a kill)\n\n"
                 "keys: student.name .size .embedding .options .pixels, method ('facekd methods'; e.g. method=kd+rkd),"
                 "\n  losses.NAME (labels or a loss; .weight .begin .end and its options), partner.*, taps.*,\n"
                 "  schedule.*, head.*, data.classes .withhold .views.*, route.every, cache (float16, float32, off), "
                 "machine.*, seed")
    verb.add_argument("arguments", nargs="*", metavar="FACES PLAN OUT key=value",
                      help="face set, plan, run folder, keys")
    verb.add_argument("--recipe", help="a YAML recipe; key=value comes on top")

    verb = add_verb(verbs, "search", "find a student inside a taught ResNet for CIFAR, at a budget; then distill it",
                 "facekd search runs/teacher runs/search share=0.5      (of the multiply-adds)\n"
                 "  facekd search runs/teacher runs/quick cost=latency runtime=onnxruntime limit=1.5   (milliseconds)\n"
                 "  facekd search runs/search --show                      (teacher and student, layer by layer)\n\n"
                 "gates on the teacher's channels and blocks are turned down until what is open keeps to the budget;\n"
                 "search.json holds the student's plan, and controls at the same budget: uniform width and random\n"
                 "subgraphs; only the ResNets for CIFAR (resnet20, resnet32x4, ...) can be searched\n\n"
                 "keys: cost (macs, parameters, latency), share, limit, runtime (onnxruntime, torch), temperature, "
                 "sparsity,\n  blocks, random, schedule.*, machine.*, seed")
    verb.add_argument("arguments", nargs="*", metavar="TEACHER OUT key=value", help="a run of teach, run folder, keys")
    verb.add_argument("--recipe", help="a YAML recipe; key=value comes on top")
    verb.add_argument("--show", action="store_true", help="draw it; with OUT alone that is all that is done")

    verb = add_verb(verbs, "methods", "what a student can be trained by: losses, moving teachers, routes",
                    "facekd methods\n  facekd methods show dkd        (equation, usual weight, options, recipe line)")
    show = add_verb(verb.add_subparsers(), "show", "one method: paper, equation, weight, options",
                    "facekd methods show dkd\n  facekd methods show kd+rkd")
    show.add_argument("name", help="as 'facekd methods' lists it; several joined by +")
