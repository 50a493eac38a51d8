"""The options of the verbs that make use of a trained model: export, bench, report, embed, compare, demo."""

from __future__ import annotations

import argparse

from facekd.cli.common import Verbs, add_detector, add_model, add_verb


def add_uses(verbs: Verbs) -> None:
    """Add these verbs."""
    _export(verbs)
    _bench(verbs)

    verb = add_verb(verbs, "report", "one report.html a run; several runs in one table",
                 "facekd report runs/student\n  facekd report runs/* --out runs")
    verb.add_argument("runs", nargs="+", help="run folders; those that differ in their seed alone share a row")
    verb.add_argument("--out", help="folder for comparison.html and summary-HARDWARE.json")
    verb.add_argument("--results", help="a CSV that receives a row a run, e.g. results/mine-{hardware}.csv")

    verb = add_verb(verbs, "embed", "embeddings of aligned crops in one file; stopped and run again, it continues",
                 "facekd embed crops features.npy --model runs/student\n"
                 "  facekd embed megaface_images megaface.npy --model w600k_r50.onnx --list megaface_lst --half")
    verb.add_argument("folder", help="a face set; with --list the folder its paths start from")
    verb.add_argument("out", help="the .npy to write: [images, dimension], rows as long as the model makes them; "
                      "labels, names and facts go beside it")
    add_model(verb)
    verb.add_argument("--list", dest="listed", help="text file with one image path a line: embed these, in this order")
    verb.add_argument("--half", action="store_true", help="float16: half the size, 5e-4 of a number off")
    verb.add_argument("--kit", help="also write MegaFace's tree of one feature file an image below this folder")
    verb.add_argument("--ending", help="of these files, behind the image's path (default _facekd.bin)")

    verb = add_verb(verbs, "compare", "are two photographs of one person?",
                 "facekd compare a.jpg b.jpg --model runs/student --detector face_detection_yunet_2023mar.onnx")
    verb.add_argument("first", help="a photograph")
    verb.add_argument("second", help="another")
    verb.add_argument("--model", required=True, help="run folder, .safetensors, package folder or .onnx")
    add_detector(verb)
    verb.add_argument("--far", default="1e-2", help="false accept rate of the verdict (default 1e-2)")
    verb.add_argument("--threshold", type=float, help="use this similarity instead")
    verb.add_argument("--aligned", action="store_true", help="the images are aligned crops already")

    verb = add_verb(verbs, "demo", "the whole way on synthetic faces, in a few minutes", "facekd demo runs/demo")
    verb.add_argument("out", nargs="?", default="runs/demo", help="folder to work in (default runs/demo)")


def _export(verbs: Verbs) -> None:
    verb = add_verb(verbs, "export", "a package for the phone: every file proved against the network, card, checksums",
                    "facekd export runs/student packages/student --calibration faces/train\n"
                    "  facekd export runs/student packages/phone --to onnx,ncnn,executorch,litert,coreml \\\n"
                    "    --calibration faces/train --pairs cfp/pairs_ff.csv --images cfp --max-drop 0.3")
    verb.add_argument("model", help="a run folder or a .safetensors file of facekd")
    verb.add_argument("out", help="the package folder to write")
    verb.add_argument("--to", default="onnx",
                      help="targets joined by commas: onnx (default), ncnn, executorch, litert, coreml; each but onnx "
                      "is an extra: pip install 'facekd[ncnn]'")
    verb.add_argument("--precision", default="", help="fp32, fp16, int8, joined by commas; default: all of a target")
    verb.add_argument("--calibration", help="face set to calibrate int8 on; without it no int8 file is written")
    verb.add_argument("--tune", type=int, metavar="EPOCHS",
                      help="train the weights of int8 files on all faces of --calibration for so many epochs (1 to 3) "
                      "to answer as the network does; fp32 and fp16 files keep theirs")
    verb.add_argument("--pairs", help="pair list to verify the network and every file on")
    verb.add_argument("--images", help="folder the pairs' paths start from")
    verb.add_argument("--max-drop", type=float, default=0.3,
                      help="percentage points of accuracy a file may lose on the pairs; it is refused when the lower "
                      "end of the paired 95%% interval is above that, and warned of when the drop itself is (default "
                      "0.3)")
    verb.add_argument("--input", default="float", choices=["float", "uint8"],
                      help="float: pixels are scaled outside, (x - 127.5) / 127.5 (default); uint8: inside the files")
    verb.add_argument("--unit", action="store_true", help="embeddings of unit length, made inside the files")
    verb.add_argument("--name", help="what the files are called (default: the run's name)")
    verb.add_argument("--licence", nargs="+", type=_pair, default=[], metavar="WHAT=TEXT",
                      help="licences for the card, of code, weights or data: --licence weights=CC-BY-NC-4.0 "
                      "data='research only'; what is not said stands there as unknown")
    verb.add_argument("--detector", help="an SCRFD with five points (scrfd_*_kps.onnx): adds the folder insightface, a "
                      "model package of InsightFace 2 with both, for insightface.app.FaceAnalysis")


def _bench(verbs: Verbs) -> None:
    verb = add_verb(verbs, "bench", "how fast a package's files are here, beside a model you know, and on your phone",
                    "facekd bench packages/phone\n"
                    "  facekd bench packages/phone --against w600k_mbf.onnx --threads 4 --json bench.json\n"
                    "  facekd bench packages/phone --device pixel.txt     (saved from the commands of its card.md)\n\n"
                    "every file that runs here is timed at batch 1 in the same rounds, in an order drawn for each, so\n"
                    "that ratios hold where milliseconds waver; those that do not run are named with the reason.\n"
                    "Look at the ratio and its interval first: one that holds 1.00 is no difference. Ratios of this\n"
                    "machine are a guess for a phone (int8 above all): time it there. Best on an idle machine.")
    verb.add_argument("package", help="a folder that export wrote; a changed or missing file is refused")
    verb.add_argument("--against", metavar="MODEL", help="what ratios are to: an .onnx of anybody or another package "
                      "(default: the package's own float32 ONNX file, or its first that runs)")
    verb.add_argument("--threads", type=int, nargs="+", default=[], metavar="N",
                      help="numbers of threads (default: 1 and all cores)")
    verb.add_argument("--repeats", type=int, default=100, help="timed rounds (default 100)")
    verb.add_argument("--warmup", type=int, default=10, help="untimed rounds before them (default 10)")
    verb.add_argument("--device", nargs="+", default=[], metavar="FILE",
                      help="what ncnn's benchncnn or LiteRT's benchmark_model printed: one file a phone, whose name it "
                      "bears")
    verb.add_argument("--json", help="write all figures, hardware, versions and the command to this file")


def _pair(text: str) -> tuple[str, str]:
    what, equals, said = text.partition("=")
    if not equals or not said.strip():
        raise argparse.ArgumentTypeError(f"'{text}' does not say what is licensed how; give e.g. weights=CC-BY-4.0")
    return what.strip(), said.strip()
