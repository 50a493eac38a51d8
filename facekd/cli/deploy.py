"""The commands for trained models: export, bench, report, embed, compare, demo."""

from __future__ import annotations

import argparse

from facekd.cli.common import (
    Subparsers,
    add_command,
    add_detector_option,
    add_input_options,
    add_labels_option,
    add_model_options,
    input_options,
)
from facekd.utils.console import console


def add_deploy_commands(subparsers: Subparsers) -> None:
    """Add the commands of this module."""
    _add_export(subparsers)
    _add_bench(subparsers)
    _add_report(subparsers)
    _add_embed(subparsers)
    _add_compare(subparsers)
    _add_demo(subparsers)


def _add_export(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "export", _export, "a package for the phone: validated model files, model card, checksums",
        "facekd export runs/student packages/student --calibration faces/train\n"
        "  facekd export runs/student packages/phone --to onnx,ncnn,executorch,litert,coreml \\\n"
        "    --calibration faces/train --pairs cfp/pairs_ff.csv --images cfp \\\n"
        "    --gate accuracy=0.3 --gate tar@1e-4=1.0 --against w600k_r50.onnx\n"
        "  facekd export w600k_mbf.onnx packages/teacher --calibration faces/train     (a recognizer from elsewhere)")
    parser.add_argument("model", help="a run folder or a .safetensors file of facekd, or the .onnx of a recognizer "
                        "whose operators are Conv, BatchNormalization, PRelu, Relu, Add, Gemm and the like")
    parser.add_argument("out", help="the package folder to write")
    parser.add_argument("--to", default="onnx", type=_split_commas,
                        help="targets, separated by commas: onnx (default), ncnn, executorch, litert, coreml; all but "
                        "onnx are extras: pip install 'facekd[ncnn]'")
    parser.add_argument("--precision", default="", type=_split_commas,
                        help="fp32, fp16, int8, separated by commas; default: all that a target supports")
    parser.add_argument("--calibration", help="face set for int8 calibration; without it no int8 file is written")
    parser.add_argument("--qat-epochs", type=int, metavar="EPOCHS",
                        help="quantization-aware training of the int8 weights on all faces of --calibration (1 to 3 "
                        "epochs), with the float network as the teacher; fp32 and fp16 files are unchanged")
    parser.add_argument("--pairs", help="pair list on which the network and every file are verified")
    parser.add_argument("--images", help="root folder of the paths in the pair list")
    parser.add_argument("--gate", action="append", default=[], metavar="METRIC=POINTS",
                        help="percentage points that a file may lose on the pairs, may be repeated: accuracy, auc, eer "
                        "or tar@FAR (FAR of all impostor pairs of the images); a file is refused if the lower end of "
                        "the paired 95%% interval is above that, with a warning if the loss itself is (default "
                        "accuracy=0.3)")
    parser.add_argument("--against", metavar="MODEL", help="the model that the gates measure the loss against, e.g. "
                        "the teacher (default: the float network)")
    parser.add_argument("--input-dtype", default="float", choices=["float", "uint8"],
                        help="float: the caller normalizes pixels, (x - 127.5) / 127.5 (default); uint8: the files do")
    parser.add_argument("--l2-normalize", action="store_true", help="the files return L2-normalized embeddings")
    parser.add_argument("--name", help="base name of the files (default: the name of the run)")
    parser.add_argument("--license", nargs="+", type=_parse_license, default=[], metavar="WHAT=TEXT",
                        help="licenses for the model card, of code, weights or data: --license weights=CC-BY-NC-4.0 "
                        "data='research only'; the others are unknown")
    parser.add_argument("--detector", help="an SCRFD with five landmarks (scrfd_*_kps.onnx): adds the folder "
                        "insightface, a model package of InsightFace 2 with both, for insightface.app.FaceAnalysis")
    add_input_options(parser)


def _split_commas(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _parse_license(text: str) -> tuple[str, str]:
    subject, equals, license_text = text.partition("=")
    if not equals or not license_text.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is not WHAT=LICENSE; give e.g. weights=CC-BY-4.0")
    return subject.strip(), license_text.strip()


def _export(args: argparse.Namespace) -> int:
    from facekd.api.deploy.export import export

    package = export(
        args.model, args.out, calibration=args.calibration, pairs=args.pairs, images=args.images, name=args.name,
        targets=args.to, precisions=args.precision, gates=args.gate, against=args.against,
        input_dtype=args.input_dtype, l2_normalized=args.l2_normalize, detector=args.detector,
        qat_epochs=args.qat_epochs, licenses=dict(args.license), **input_options(args),
    )
    console().print(package.describe())
    return 0


def _add_bench(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "bench", _bench, "latency of a package's files here, relative to a reference, and on your phone",
        "facekd bench packages/phone\n"
        "  facekd bench packages/phone --against w600k_mbf.onnx --threads 4 --json bench.json\n"
        "  facekd bench packages/phone --phone-log pixel.txt     (saved from the commands of its card.md)\n\n"
        "Every file that runs here is timed at batch 1 in interleaved rounds of random order, so that ratios are\n"
        "stable where milliseconds are not; the others are named with the reason. Look at the ratio and its interval\n"
        "first: an interval that contains 1.00 shows no difference. Ratios on this machine only approximate those on\n"
        "a phone (int8 above all): measure there. An idle machine gives the best figures.")
    parser.add_argument("package", help="a folder that export wrote; a changed or missing file is refused")
    parser.add_argument("--against", metavar="MODEL", help="the reference of the ratios: any .onnx or another package "
                        "(default: the package's own float32 ONNX file, or its first that runs)")
    add_input_options(parser)
    parser.add_argument("--threads", type=int, nargs="+", default=[], metavar="N",
                        help="numbers of threads (default: 1 and all cores)")
    parser.add_argument("--repeats", type=int, default=100, help="timed rounds (default 100)")
    parser.add_argument("--warmup", type=int, default=10, help="untimed rounds before them (default 10)")
    parser.add_argument("--phone-log", nargs="+", default=[], metavar="FILE", dest="phone_logs",
                        help="output of ncnn's benchncnn or LiteRT's benchmark_model, one file per phone")
    parser.add_argument("--json", help="write all figures, hardware, versions and the command line to this file")


def _bench(args: argparse.Namespace) -> int:
    from facekd.api.deploy.bench import bench
    from facekd.reporting.tables.benchmark import bench_notes, bench_table

    result = bench(args.package, args.against, threads=args.threads, repeats=args.repeats, warmup=args.warmup,
                   phone_logs=args.phone_logs, json=args.json, **input_options(args))
    console().print(bench_table(result), soft_wrap=False)
    console().print("\n".join(bench_notes(result)))
    return 0


def _add_report(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "report", _report, "a report.html in each run, and all runs in one table",
        "facekd report runs/student\n  facekd report runs/* --out runs")
    parser.add_argument("runs", nargs="+", help="run folders; those that differ in their seed alone share a row")
    parser.add_argument("--out", help="folder for comparison.html and summary-HARDWARE.json")
    parser.add_argument("--results", help="a CSV that receives one row per run, e.g. results/mine-{hardware}.csv")


def _report(args: argparse.Namespace) -> int:
    from facekd.api.report import report

    table, files = report(*args.runs, out=args.out, results=args.results)
    console().print(table.to_rich(), soft_wrap=False)
    for file in files:
        console().print(str(file))
    return 0


def _add_embed(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "embed", _embed, "embeddings of aligned crops in one file; a second call continues",
        "facekd embed crops features.npy --model runs/student\n"
        "  facekd embed megaface_images megaface.npy --model w600k_r50.onnx --list megaface_lst --float16")
    parser.add_argument("folder", help="a face set; with --list the root folder of its paths")
    parser.add_argument("out", help="the .npy to write: [images, dimension], not L2-normalized; labels, names and "
                        "provenance are written next to it")
    add_model_options(parser)
    parser.add_argument("--list", dest="image_list", help="text file with one image path per line, in order")
    add_labels_option(parser)
    parser.add_argument("--float16", action="store_true", help="half the size, with a relative rounding error of 5e-4")
    parser.add_argument("--megaface-tree", help="also write MegaFace's tree of feature files into this folder")
    parser.add_argument("--suffix", help="suffix of these feature files after the image path (default _facekd.bin)")


def _embed(args: argparse.Namespace) -> int:
    from facekd.api.embed import embed

    count = embed(args.folder, args.out, args.model, flip=args.flip, device=args.device, image_list=args.image_list,
                  float16=args.float16, megaface_tree=args.megaface_tree, suffix=args.suffix, labels=args.labels,
                  **input_options(args))
    console().print(f"{args.out}: {count} embeddings; labels, names and provenance are in the files next to it")
    return 0


def _add_compare(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "compare", _compare, "do two photographs show the same person?",
        "facekd compare a.jpg b.jpg --model runs/student --detector face_detection_yunet_2023mar.onnx")
    parser.add_argument("first", help="a photograph")
    parser.add_argument("second", help="another photograph")
    parser.add_argument("--model", required=True, help="run folder, .safetensors, package folder or .onnx")
    add_input_options(parser)
    add_detector_option(parser)
    parser.add_argument("--far", help="false accept rate (default 1e-2), whose threshold is read from a package, from "
                        "the results of 'facekd eval verify' in a run or beside the model file, or from --result")
    parser.add_argument("--result", metavar="FILE", help="a file of 'facekd eval verify --json FILE' with this model")
    parser.add_argument("--threshold", type=float, help="use this similarity instead")
    parser.add_argument("--prior", type=float, help="how often two photographs show one person before they "
                        "are compared, for the probability (default 0.5)")
    parser.add_argument("--aligned", action="store_true", help="the images are aligned crops already")


def _compare(args: argparse.Namespace) -> int:
    from facekd.api.compare import compare

    result = compare(args.first, args.second, args.model, detector=args.detector, far=args.far,
                     threshold=args.threshold, result=args.result, aligned=args.aligned, prior=args.prior,
                     **input_options(args))
    console().print(result.describe())
    return 0


def _add_demo(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers, "demo", _demo, "the complete workflow on synthetic faces, in a few minutes",
        "facekd demo runs/demo")
    parser.add_argument("out", nargs="?", default="runs/demo", help="working folder (default runs/demo)")


def _demo(args: argparse.Namespace) -> int:
    from facekd.api.demo import demo

    table, page = demo(args.out)
    console().print(table.to_rich(), soft_wrap=False)
    console().print(f"report: {page}")
    return 0
