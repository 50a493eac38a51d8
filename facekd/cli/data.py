"""The commands for data: doctor, align, clean, pack, group."""

from __future__ import annotations

import argparse
from pathlib import Path

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_detector_option,
    add_device_option,
    add_input_options,
    add_labels_option,
    add_set_options,
    input_options,
    split_overrides,
)
from facekd.text import path_text
from facekd.utils.console import console


def add_data_commands(subparsers: Subparsers) -> None:
    """Add the commands of this module."""
    _add_doctor(subparsers)
    _add_align(subparsers)
    _add_clean(subparsers)
    _add_pack(subparsers)
    _add_group(subparsers)


def _add_doctor(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "doctor", _doctor, "examine face sets, or a planned training run with its data, and give remedies",
        "facekd doctor faces/train\n"
        "  facekd doctor photos   (loose images: a set without labels)\n"
        "  facekd doctor faces/train faces/test   (also: do they share images?)\n"
        "  facekd doctor training.batch_size=1024 --recipe teacher.yaml --world-size 8\n"
        "  facekd doctor faces/test --recipe teacher.yaml --model w600k_r50.onnx   (docs/preflight.md)")
    parser.add_argument("arguments", nargs="*", metavar="FACES key=value",
                        help="face sets; with --recipe the test sets, and keys that override the recipe")
    parser.add_argument("--recipe", help="recipe of train or distill: check memory, disk, batch, rate and data")
    parser.add_argument("--world-size", type=int, default=1,
                        help="with --recipe: number of processes of the run (default 1)")
    parser.add_argument("--model", help="with --recipe: a model that searches the faces for wrong labels, identities "
                        "under two names, and test identities in the training set")
    add_set_options(parser)
    add_input_options(parser)
    parser.add_argument("--json", help="write the diagnosis to this file; with --model also the lists to review")


def _doctor(args: argparse.Namespace) -> int:
    from facekd.api.data.doctor import doctor
    from facekd.io.files import write_json
    from facekd.io.locks import lock_output
    from facekd.io.outputs import check_writable

    output = Path(args.json) if args.json else None
    if output:
        check_writable(output)
    overrides, paths = split_overrides(args.arguments, len(args.arguments), "FACES")
    with lock_output(output):
        diagnosis = doctor(*paths, recipe=args.recipe, overrides=overrides, world_size=args.world_size,
                           model=args.model, labels=args.labels, root=args.root, **input_options(args))
        console().print(diagnosis.describe())
        if output:
            write_json(output, diagnosis.to_dict())
    return 0 if diagnosis.ok else 1


def _add_align(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "align", _align, "photographs to aligned crops: five landmarks, ArcFace's template, all cores",
        "facekd align photos crops --detector face_detection_yunet_2023mar.onnx\n"
        "  facekd align album crops --detector models/buffalo_l --all-faces")
    parser.add_argument("photos", help="folder with one subfolder per identity, or of photographs of anybody")
    parser.add_argument("out", help="the image folder to write; a second call continues")
    add_detector_option(parser)
    parser.add_argument("--size", type=int, default=112, help="side of the crops in pixels, 16 to 2048 (default 112)")
    parser.add_argument("--all-faces", action="store_true", help="a crop of every face of a photograph, and not of the "
                        "largest alone; PHOTO.face2.jpg may then be somebody else than the folder says")
    add_device_option(parser)


def _align(args: argparse.Namespace) -> int:
    from facekd.api.data.align import align

    summary = align(args.photos, args.out, detector=args.detector, size=args.size, all_faces=args.all_faces,
                    device=args.device)
    console().print(summary.describe())
    return 0


def _add_clean(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "clean", _clean, "a face set without the images that a model places far from their identity",
        "facekd clean faces/raw runs/sub faces/clean\n"
        "      (after 'facekd train faces/raw runs/sub head.sub_centers=3': by an identity's dominant sub-center)\n"
        "  facekd clean faces/raw w600k_r50.onnx faces/clean    (any model: by an identity's mean embedding)")
    parser.add_argument("faces", help="the face set to clean")
    parser.add_argument("model", help="a run of train on this face set with head.sub_centers above 1, or any model")
    parser.add_argument("out", help="folder of the new set, dropped.csv and duplicates.csv")
    parser.add_argument("--angle", type=float, default=75.0,
                        help="drop images at more degrees from their identity (default 75, as in the paper)")
    parser.add_argument("--min-images", type=int, default=2,
                        help="drop identities with fewer remaining images (default 2)")
    add_labels_option(parser)
    add_input_options(parser)
    add_device_option(parser)


def _clean(args: argparse.Namespace) -> int:
    from facekd.api.data.clean import clean

    cleaning = clean(args.faces, args.model, args.out, angle=args.angle, min_images=args.min_images, device=args.device,
                     labels=args.labels, **input_options(args))
    console().print(cleaning.describe())
    return 0


def _add_pack(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "pack", _pack, "an image folder to InsightFace RecordIO (train.rec, train.idx, property)",
        "facekd pack crops faces/train")
    parser.add_argument("folder", help="folder with one subfolder per identity, or images without labels")
    parser.add_argument("out", help="the RecordIO folder to write")
    add_set_options(parser)


def _pack(args: argparse.Namespace) -> int:
    from facekd.api.data.pack import pack

    summary = pack(args.folder, args.out, labels=args.labels, root=args.root)
    people = f" of {summary.identities} identities" if summary.identities else ", unlabeled"
    console().print(f"{path_text(summary.folder)}: {summary.images} images{people}, {summary.size} px")
    if summary.dropped:
        console().print(f"{summary.dropped} identities had no image and were left out")
    return 0


def _add_group(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "group", _group, "crops without labels to one folder per person, by the embeddings of a model",
        "facekd group crops grouped --model w600k_r50.onnx\n"
        "  facekd train grouped/people runs/teacher")
    parser.add_argument("crops", help="aligned crops: a folder, a text list, or any set; labels are not used")
    parser.add_argument("out", help="folder of people/, groups.csv, doubtful.jpg and embeddings.npy")
    parser.add_argument("--model", help="run folder, .safetensors, package folder, or InsightFace-compatible .onnx")
    parser.add_argument("--features", help="in place of a model: embeddings of these crops by 'facekd embed'")
    parser.add_argument("--threshold", type=float, default=0.45,
                        help="mean cosine from which two groups are one person (default 0.45, see docs/grouping.md)")
    parser.add_argument("--min-images", type=int, default=2, help="leave smaller groups alone (default 2)")
    add_set_options(parser)
    add_input_options(parser)
    add_device_option(parser)


def _group(args: argparse.Namespace) -> int:
    from facekd.api.data.group import group

    grouped = group(args.crops, args.out, model=args.model, features=args.features, threshold=args.threshold,
                    min_images=args.min_images, device=args.device, labels=args.labels, root=args.root,
                    **input_options(args))
    console().print(grouped.describe())
    return 0
