"""What ``facekd eval`` understands, and the options that other verbs share with it."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_evaluations(verbs: Verbs) -> None:
    """Add every evaluation."""
    _verify(add_verb(verbs, "verify", "k-fold accuracy, TAR at FAR, EER, AUC on a pair list",
                     "facekd eval verify --model runs/student --images faces/cfp --pairs faces/cfp/pairs_fp.csv "
                     "--json fp.json\n"
                     "  facekd eval verify --model w600k_r50.onnx --pairs lfw.bin"))
    _megaface(add_verb(
        verbs, "megaface", "rank-1, CMC and TAR at FAR among any number of distractors",
        "facekd eval megaface --model runs/student --probes faces/probes --distractors faces/distractors\n"
        "  facekd eval megaface --probes probes.npy --distractors million.npy --json student.json\n"
        "  facekd eval megaface --probes feature_out/facescrub --distractors feature_out/megaface \\\n"
        "      --lists templatelists --ending _r50.bin --noise noises --out results     (the MegaFace kit's files)\n"
        "  facekd eval megaface --compare student.json teacher.json\n"
        "  torchrun --nproc-per-node 8 eval/megaface.py --probes ... --json ...         (shared by 8 processes)"))
    _ijb(add_verb(verbs, "ijb", "1:1 and 1:N of IJB-B/C templates, from the features of their images",
                  "facekd eval ijb --features ijbc.npy --meta IJBC/meta --model runs/student\n\n"
                  "the features: facekd embed crops ijbc.npy --model runs/student --list names.txt"))
    _search(add_verb(verbs, "search", "your own probes in your own gallery: ranks 1, 5, 10, and TPIR at FPIR",
                     "facekd eval search --model runs/student --probes door --gallery staff\n"
                     "  facekd eval search --probes door.npy --gallery staff.npy"))
    _all(add_verb(verbs, "all", "every evaluation set of a folder, in one table",
                  "facekd eval all --model runs/student --sets faces\n"
                  "  facekd eval all --model w600k_r50.onnx --sets faces --json all.json   (stopped, it continues)\n\n"
                  "looked for in the folder and its subfolders:\n"
                  "  lfw, cfp_ff, cfp_fp, agedb_30, calfw, cplfw: .bin, or images with pairs.csv or pairs.txt\n"
                  "  (for CFP cfp/pairs_ff.csv and pairs_fp.csv); MegaFace: probes and distractors, or\n"
                  "  facescrub_images, megaface_images, templatelists, noise lists; IJB-B and IJB-C with features\n"
                  "  beside their files; any other .bin, and pairs*.csv or pairs*.txt beside its images\n"
                  "exit status 1 if a set that is there could not be measured"))
    _classes(add_verb(verbs, "cifar", "top-1, top-5, calibration and agreement on the test images of a class set",
                      "facekd eval cifar --model runs/student --data cifar-100-python --teacher runs/teacher"))
    _classes(add_verb(verbs, "imagenet", "the same on ImageNet: the shorter side resized, the centre cut",
                      "facekd eval imagenet --model runs/student --data imagenet   (with train/ and val/)"))


def add_verb(verbs: Verbs, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """Add a verb whose help shows examples."""
    verb = verbs.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(verb=verb.prog.removeprefix("facekd "))
    return verb


def add_detector(verb: argparse.ArgumentParser) -> None:
    """Add the option of a face detector."""
    verb.add_argument("--detector", help="YuNet or SCRFD as ONNX (default: $FACEKD_DETECTOR)")


def add_model(verb: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options of a face model."""
    verb.add_argument("--model", required=required,
                      help="run folder, .safetensors, package folder, or InsightFace-compatible .onnx")
    verb.add_argument("--no-flip", dest="flip", action="store_false", help="do not sum image and mirror")
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda (torch models; default auto)")


def _verify(verb: argparse.ArgumentParser) -> None:
    add_model(verb)
    verb.add_argument("--pairs", required=True, help="CSV fold,path1,path2,same; LFW's pairs.txt; InsightFace .bin")
    verb.add_argument("--images", help="folder the paths start from (not for .bin)")
    _result(verb)


def _megaface(verb: argparse.ArgumentParser) -> None:
    add_model(verb, required=False)
    kinds = "a face set; without --model features: .npy, .safetensors, or the kit's tree of .bin files"
    verb.add_argument("--probes", help=f"the people to be found, two or more images each: {kinds}")
    verb.add_argument("--distractors", help="other people: likewise")
    verb.add_argument("--lists", help="the kit's templatelists: which probes and distractors, and who the probes are")
    verb.add_argument("--ending", help="of the kit's feature files, behind the image's path, e.g. _r50.bin")
    verb.add_argument("--sizes", type=int, nargs="+", default=[],
                      help="with --lists: distractors, e.g. 10 1000 1000000 (default: every list there is)")
    verb.add_argument("--set", type=int, default=1, dest="set_index", help="with --lists: which set (default 1)")
    verb.add_argument("--noise", help="folder with facescrub_noises.txt and megaface_noises.txt")
    verb.add_argument("--cleaning", default="all", choices=["all", "raw", "compatible", "strict"],
                      help="with --noise: raw; compatible (InsightFace's way, the (R) in papers, optimistic); strict "
                      "(noisy images dropped); default all, side by side")
    verb.add_argument("--int8", action="store_true", help="also int8 probes among float and among int8 distractors")
    verb.add_argument("--features", help="folder to keep embeddings in; a second call continues or uses them again")
    verb.add_argument("--out", help="folder for the kit's cmc_*.json and matches_*.json")
    verb.add_argument("--compare", nargs=2, metavar="RESULT.json",
                      help="instead: does one result differ from another? paired bootstrap over people")
    _result(verb)


def _ijb(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--features", required=True, help=".npy, .safetensors or a tree of .bin: a row an image, in the "
                      "order of the protocol's files or named as they name the images")
    verb.add_argument("--model", help="the model that made the features: a run folder gets the result, too")
    verb.add_argument("--meta", required=True, help="folder with InsightFace's ijbc_face_tid_mid.txt, "
                      "ijbc_template_pair_label.txt, ijbc_name_5pts_score.txt, ijbc_1N_*.csv (or ijbb_); or NIST's "
                      "ijbc_1N_*.csv and ijbc_11_G1_G2_matches.csv, or its later release's test1 or test4")
    verb.add_argument("--no-norm-score", dest="use_norm_score", action="store_false",
                      help="give every image unit length before pooling (default: keep its length)")
    verb.add_argument("--no-detector-score", dest="use_detector_score", action="store_false",
                      help="do not weight images by the detector's score")
    _result(verb)


def _search(verb: argparse.ArgumentParser) -> None:
    add_model(verb, required=False)
    verb.add_argument("--probes", required=True, help="a face set; without --model features")
    verb.add_argument("--gallery", required=True, help="likewise; probes of people who are not in it are impostors")
    verb.add_argument("--by", choices=["folder", "label"], help="how features say who a row shows: the folder of its "
                      "image's name (default where both files name folders), or their labels")
    _result(verb)


def _all(verb: argparse.ArgumentParser) -> None:
    add_model(verb)
    verb.add_argument("--sets", required=True, help="the folder of the sets; those expected and not found are named")
    verb.add_argument("--features", help="folder to keep MegaFace's embeddings in (default: in memory)")
    verb.add_argument("--json", help="write all rows to this file, and use those in it again (a run folder has them in "
                      "results/)")


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


def _result(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", help="write the result to this file (a run folder also keeps it in results/)")
    verb.add_argument("--name", help="what the result is called in results/ and reports")
