"""The commands for evaluation: the subcommands of ``facekd eval``."""

from __future__ import annotations

import argparse

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_device_option,
    add_input_options,
    add_model_options,
    add_result_options,
    input_options,
)
from facekd.cli.evaluate_agree import add_agree
from facekd.cli.evaluate_groups import add_groups
from facekd.cli.evaluate_megaface import ACROSS_HELP, add_megaface
from facekd.cli.gallery_model import add_gallery_model_options, gallery_options
from facekd.utils.console import console


def add_evaluation_commands(subparsers: Subparsers) -> None:
    """Add ``eval`` with its subcommands."""
    evaluations = subparsers.add_parser("eval", help="evaluate a model").add_subparsers(required=True)
    _add_verify(evaluations)
    add_agree(evaluations)
    add_groups(evaluations)
    add_megaface(evaluations)
    _add_ijb(evaluations)
    _add_identify(evaluations)
    _add_all(evaluations)
    _add_classify(evaluations)


def _add_verify(evaluations: Subparsers) -> None:
    parser = add_command(
        evaluations, "verify", _verify, "k-fold accuracy, TAR at FAR, EER, AUC on a pair list",
        "facekd eval verify --model runs/student --images faces/cfp --pairs faces/cfp/pairs_fp.csv --json fp.json\n"
        "  facekd eval verify --model w600k_r50.onnx --pairs lfw.bin\n"
        "  facekd eval verify --model runs/student --gallery-model teacher.onnx --pairs lfw.bin")
    add_model_options(parser)
    parser.add_argument("--pairs", required=True, help="CSV fold,path1,path2,same; LFW's pairs.txt; InsightFace .bin")
    parser.add_argument("--images", help="root folder of the paths in the pair list (not for .bin)")
    add_gallery_model_options(parser)
    add_result_options(parser)


def _verify(args: argparse.Namespace) -> int:
    from facekd.api.across.verify import verify_across
    from facekd.api.evaluate.verify import verify

    gallery = gallery_options(args)
    if args.gallery_model:
        across = verify_across(args.model, args.gallery_model, args.pairs, images=args.images, json=args.json,
                               flip=args.flip, device=args.device, name=args.name, **gallery, **input_options(args))
        console().print(across.describe())
        return 0
    result = verify(args.model, args.pairs, images=args.images, json=args.json, flip=args.flip, device=args.device,
                    name=args.name, **input_options(args))
    console().print(result.describe())
    return 0


def _add_ijb(evaluations: Subparsers) -> None:
    parser = add_command(
        evaluations, "ijb", _ijb, "1:1 and 1:N of IJB-B/C templates, from the features of their images",
        "facekd eval ijb --features ijbc.npy --meta IJBC/meta --model runs/student\n\n"
        "the features: facekd embed crops ijbc.npy --model runs/student --list names.txt")
    parser.add_argument("--features", required=True, help=".npy, .safetensors or a tree of .bin: one row per image, in "
                        "the order of the protocol's files or with its image names")
    parser.add_argument("--model", help="the model of the features; a run folder also receives the result")
    parser.add_argument("--meta", required=True, help="folder with InsightFace's ijbc_face_tid_mid.txt, "
                        "ijbc_template_pair_label.txt, ijbc_name_5pts_score.txt, ijbc_1N_*.csv (or ijbb_); or NIST's "
                        "ijbc_1N_*.csv and ijbc_11_G1_G2_matches.csv, or its later release's test1 or test4")
    parser.add_argument("--no-norm-score", dest="use_norm_score", action="store_false",
                        help="L2-normalize each image's feature before pooling (default: keep its norm as a weight)")
    parser.add_argument("--no-detector-score", dest="use_detector_score", action="store_false",
                        help="do not weight images by the detector's score")
    add_input_options(parser)
    add_result_options(parser)


def _ijb(args: argparse.Namespace) -> int:
    from facekd.api.evaluate.ijb import ijb

    result = ijb(args.features, args.meta, model=args.model, use_norm_score=args.use_norm_score,
                 use_detector_score=args.use_detector_score, json=args.json, name=args.name,
                 **input_options(args))
    console().print(result.describe())
    return 0


def _add_identify(evaluations: Subparsers) -> None:
    parser = add_command(
        evaluations, "identify", _identify, "open-set identification in a gallery: rank 1, 5, 10, TPIR at FPIR",
        "facekd eval identify --model runs/student --probes door --gallery staff\n"
        "  facekd eval identify --probes door.npy --gallery staff.npy\n"
        "  facekd eval identify --model runs/student --gallery-model teacher.onnx --probes door --gallery staff")
    add_model_options(parser, required=False)
    parser.add_argument("--probes", required=True,
                        help="a face set; without --model features; identities outside the gallery are impostors")
    parser.add_argument("--gallery", required=True, help="a face set; without --model features")
    parser.add_argument("--identity-from", choices=["folder", "label"],
                        help="the identity of a feature row: the folder in its image's name (default where both files "
                        "have names with folders), or its label")
    parser.add_argument("--across", action="store_true", help=ACROSS_HELP)
    add_gallery_model_options(parser)
    add_result_options(parser)


def _identify(args: argparse.Namespace) -> int:
    from facekd.api.across.identify import identify_across
    from facekd.api.evaluate.identify import identify

    gallery = gallery_options(args, {"identity-from": args.identity_from, "across": args.across or None})
    if args.gallery_model:
        across = identify_across(args.probes, args.gallery, args.model, args.gallery_model, json=args.json,
                                 flip=args.flip, device=args.device, name=args.name, **gallery, **input_options(args))
        console().print(across.describe())
        return 0
    result = identify(args.probes, args.gallery, model=args.model, identity_from=args.identity_from, across=args.across,
                      json=args.json, flip=args.flip, device=args.device, name=args.name, **input_options(args))
    console().print(result.describe())
    return 0


def _add_all(evaluations: Subparsers) -> None:
    parser = add_command(
        evaluations, "all", _all, "every evaluation set of a folder, in one table",
        "facekd eval all --model runs/student --sets faces\n"
        "  facekd eval all --model w600k_r50.onnx --sets faces --json all.json   (a second call continues)\n\n"
        "sets that are searched for in the folder and its subfolders:\n"
        "  lfw, cfp_ff, cfp_fp, agedb_30, calfw, cplfw: .bin, or images with pairs.csv or pairs.txt\n"
        "  (for CFP cfp/pairs_ff.csv and pairs_fp.csv); MegaFace: probes and distractors, or\n"
        "  facescrub_images, megaface_images, templatelists, noise lists; IJB-B and IJB-C with features\n"
        "  in the folder of their files; any other .bin, and pairs*.csv or pairs*.txt in a folder of images\n"
        "exit status 1 if an existing set could not be measured")
    add_model_options(parser)
    parser.add_argument("--sets", required=True, help="folder of the evaluation sets; the table names missing ones")
    parser.add_argument("--features", help="folder for the embeddings of MegaFace (default: in memory)")
    parser.add_argument("--json", help="write all rows to this file, and reuse them (a run has them in results/)")


def _all(args: argparse.Namespace) -> int:
    from facekd.api.evaluate.evaluate_all import evaluate_all

    table = evaluate_all(args.model, args.sets, json=args.json, flip=args.flip, device=args.device,
                         features=args.features, **input_options(args))
    console().print(table.to_rich(), soft_wrap=False)
    return 1 if table.failed else 0


def _add_classify(evaluations: Subparsers) -> None:
    cifar = add_command(
        evaluations, "cifar", _classify, "top-1, top-5, calibration and teacher agreement on small images",
        "facekd eval cifar --model runs/student --data cifar-100-python --teacher runs/teacher")
    imagenet = add_command(
        evaluations, "imagenet", _classify, "the same on ImageNet: resize of the shorter side, center crop",
        "facekd eval imagenet --model runs/student --data imagenet   (with train/ and val/)")
    for parser in (cifar, imagenet):
        parser.add_argument("--model", required=True,
                            help="run folder, .safetensors, package folder or .onnx whose outputs are logits")
        parser.add_argument("--data", required=True,
                            help="class set: extracted CIFAR archive, Parquet, train/ and val/ with a folder per class")
        parser.add_argument("--teacher", help="another classifier; also measure the agreement of both")
        parser.add_argument("--split", default="test", choices=["test", "train"], help="the split (default test)")
        parser.add_argument("--classes", type=int, default=0, help="number of classes, the first ones (default all)")
        add_input_options(parser)
        add_device_option(parser)
        add_result_options(parser)


def _classify(args: argparse.Namespace) -> int:
    from facekd.api.evaluate.classify import classify

    result = classify(args.model, args.data, json=args.json, teacher=args.teacher, split=args.split,
                      classes=args.classes, device=args.device, name=args.name, **input_options(args))
    console().print(result.describe())
    return 0
