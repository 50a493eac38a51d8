"""Plausible results, and the metadata of a package, as facekd writes them."""

from __future__ import annotations

from typing import Any

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SOURCE = {"hardware": "cpu2", "command_line": "facekd eval"}


def verify_result() -> dict[str, Any]:
    """The result of ``eval verify``."""
    return {
        "accuracy": 0.9, "accuracy_std": 0.01, "accuracy_interval": [0.8, 0.95], "auc": 0.98, "eer": 0.04,
        "threshold": 0.3, "pairs": 1400, "tar": {"1e-2": 0.8, "1e-4": None},
        "tar_interval": {"1e-2": [0.7, 0.9], "1e-4": None}, "folds": 10, "notes": ["too few"], "kind": "verify",
        "name": "cfp-ff", "model": "m", "roc": {"far": [0.0, 0.5, 1.0], "tar": [0.1, 0.7, 1.0]},
        "thresholds": {"1e-2": 0.4, "1e-4": None}, **SOURCE,
    }


def megaface_result() -> dict[str, Any]:
    """The result of ``eval megaface``."""
    return {
        "rank1": 0.6, "rank1_interval": [0.5, 0.7], "cmc": [0.6] * 12, "pairs": 728, "probes": 56, "identities": 40,
        "distractors": 4021, "tar": {"1e-4": 0.71, "1e-6": None}, "tar_interval": {"1e-4": [0.69, 0.73], "1e-6": None},
        "notes": [], "kind": "megaface", "name": "cfp", **SOURCE,
    }


def classify_result() -> dict[str, Any]:
    """The result of ``eval classes``."""
    bins = [{"confidence": None, "accuracy": None, "count": 0}, {"confidence": 0.5, "accuracy": 0.4, "count": 9}]
    return {
        "top1": 0.7, "top1_interval": [0.69, 0.71], "top5": 0.95, "top5_interval": [0.95, 0.96],
        "per_class": {"cat": 0.5, "dog": 0.9, "absent": None}, "ece": 0.04, "reliability": bins, "nll": 1.2,
        "images": 99, "classes": 3, "agreement": 0.8, "kl": 0.3, "notes": ["1 class has no image"], "kind": "classify",
        "name": "things", **SOURCE,
    }


def open_set_result() -> dict[str, Any]:
    """The result of a search in a gallery, as in ``eval identify`` and ``eval ijb``."""
    return {
        "rank": {"1": 0.5, "5": 0.6}, "rank_interval": {"1": [0.4, 0.6], "5": [0.5, 1.0]}, "cmc": [0.5, 0.6],
        "tpir": {"1e-2": 0.4, "1e-1": None}, "tpir_interval": {"1e-2": [0.3, 0.5], "1e-1": None},
        "thresholds": {"1e-2": 0.4, "1e-1": None}, "mated": 12, "unmated": 56, "identities": 30,
        "gallery_identities": 25, "galleries": 2, "notes": [],
    }


def ijb_result() -> dict[str, Any]:
    """The result of ``eval ijb``."""
    verification = {
        "tar": {"1e-6": None, "1e-4": 0.9}, "tar_interval": {"1e-6": None, "1e-4": [0.8, 0.95]}, "genuine": 195,
        "thresholds": {"1e-6": None, "1e-4": 0.3}, "impostors": 1563, "templates": 23, "identities": 35, "notes": [],
    }
    galleries = {name: open_set_result() for name in ("G1", "G2", "mean")}
    return {"verification": verification, "identification": galleries, "images": 469, "templates": 231,
            "notes": ["no scores"], "kind": "ijb", "name": "ijbc", **SOURCE}


def package_metadata() -> dict[str, Any]:
    """The content of ``metadata.json`` of a package of empty files."""
    summary = {"images": 16, "mean": 0.999, "minimum": 0.99}
    verification = {
        "pairs_file": "lfw.bin", "thresholds": {"1e-3": 0.3}, "impostor_pairs": 700,
        "file": {"accuracy": 0.9, "tar": {"1e-3": 0.5}, "thresholds": {"1e-3": 0.3, "1e-4": None}},
        "network": {"accuracy": 0.91, "tar": {"1e-3": 0.5}, "thresholds": {}}, "resampled": "pairs",
        "drop": {"accuracy": {"points": 0.1, "interval": [-0.1, 0.3]}},
        "against": {"name": "teacher", "sha256": "ab", "result": {"accuracy": 0.95, "thresholds": {}},
                    "drop": {"accuracy": {"points": 5.0, "interval": [4.0, 6.0]}}},
    }
    validation = {"cosine": {kind: {"1": summary, "8": summary} for kind in ("noise", "crops")},
                  "verification": verification, "status": "passed", "gates": [], "note": ""}
    latency = {"median_ms": 1.5, "quartiles_ms": [1.4, 1.7], "p95_ms": 2.0, "repeats": 50}
    entry = {
        "target": "onnx", "precision": "fp32", "files": ["m.onnx"], "bytes": 1000, "versions": {"onnx": "1.2"},
        "notes": ["a note"], "latency": latency, "device_command": "run m.onnx", "validation": validation,
    }
    not_run = {**validation, "cosine": "not run", "verification": "not run", "status": "not run", "note": "elsewhere"}
    other = {**entry, "target": "ncnn", "files": ["m.param", "m.bin"], "latency": "not run", "validation": not_run}
    return {
        "name": "m", "parameters": 849, "macs": 9000, "size": 32, "dimension": 4, "preprocessing": "RGB",
        "model": {"name": "mlp", "size": 32, "outputs": 4, "options": {"hidden": 8}, "normalization": "unit"},
        "io_format": {"input_dtype": "float", "l2_normalized": False},
        "files": {"onnx fp32": entry, "ncnn fp32": other}, "results": {"verify-cfp": verify_result()},
        "provenance": {"license_code": "Apache-2.0", "run": "abc"},
        "sha256": dict.fromkeys(("m.onnx", "m.param", "m.bin"), EMPTY_SHA256),
    }
