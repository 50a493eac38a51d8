"""The page that travels with a package and tells a stranger what it is and how to run it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

USE = (
    "- Made to compare aligned photographs of faces of people who agreed to it, and not to judge anything else of "
    "them.",
    "- A threshold belongs to a false accept rate on people like those it will meet; measure it there. Accuracy "
    "differs between groups of people, and poor alignment, light or compression lower it.",
    "- Embeddings are personal data: keep and delete them as such.",
)


def card(metadata: Mapping[str, Any]) -> str:
    """Markdown from what ``metadata.json`` holds; figures that are absent are left out, none are invented."""
    size, name = metadata["size"], metadata["name"]
    entries: Mapping[str, Any] = metadata["files"]
    lines = [
        f"# {name}", "",
        f"A face-recognition model made by facekd: an aligned {size}x{size} face in, "
        f"{metadata['dimension']} numbers out. The cosine between two faces' numbers says how alike they are.", "",
        f"- architecture: {metadata['model']['name']}, {metadata['parameters'] / 1e6:.3f} M parameters, "
        f"{metadata['macs'] / 1e6:.0f} M multiply-adds",
        f"- input: {metadata['preprocessing']}; aligned to InsightFace's five-point template",
        f"- output: {'of unit length' if metadata['form']['unit'] else 'not normalised'}", "",
        "| file | bytes | cosine to the network, mean and least | accuracy, points lost [95 %] | standing "
        "| ms on one thread of the exporting machine, median and quartiles |",
        "|---|---|---|---|---|---|", *(_row(title, entry) for title, entry in entries.items()),
    ]
    notes = dict.fromkeys(note for entry in entries.values() for note in entry["notes"])
    lines += [*(f"\nNote: {note}" for note in notes)]
    scores = {title: _accuracy(entry["proof"]["verification"]) for title, entry in entries.items()}
    lines += _block("Verification", {title: score for title, score in scores.items() if score})
    limits = {title: _thresholds(entry["proof"]["verification"]) for title, entry in entries.items()}
    lines += _block("Thresholds of the cosine", {title: limit for title, limit in limits.items() if limit})
    results = {name: _result(result) for name, result in metadata["results"].items()}
    lines += _block("Results of the network", {name: result for name, result in results.items() if result})
    lines += _block("Where it comes from", metadata["provenance"])
    lines += _block("Made by", {title: ", ".join(f"{key} {value}" for key, value in entry["versions"].items())
                                for title, entry in entries.items()})
    lines += _devices(entries)
    lines += ["", "## Intended use and limits", "", *USE]
    if "onnx fp32" in entries:
        lines += ["", "## Run it", "", "```python", *_usage(name, size, metadata["form"]), "```"]
    return "\n".join([*lines, ""])


def _row(title: str, entry: Mapping[str, Any]) -> str:
    proof, timing = entry["proof"], entry["latency"]
    cosine, drop, speed = "not run", "not measured", "not run"
    if proof["cosine"] != "not run":
        near = proof["cosine"].get("crops", proof["cosine"]["noise"])["1"]
        cosine = f"{near['mean']:.4f}, {near['minimum']:.4f} ({near['images']} images)"
    if isinstance(proof["verification"], Mapping):
        lost = proof["verification"]["drop"]["accuracy"]
        low, high = lost["interval"]
        drop = f"{lost['points']:+.2f} [{low:+.2f}, {high:+.2f}]"
    if timing != "not run":
        first, third = timing["quartiles_ms"]
        speed = f"{timing['median_ms']:.2f} ({first:.2f} to {third:.2f})"
    names = ", ".join(entry["files"])
    return f"| {names} ({title}) | {entry['bytes']:,} | {cosine} | {drop} | {proof['standing']} | {speed} |"


def _accuracy(verification: Any) -> str:
    if not isinstance(verification, Mapping):
        return ""
    file, network = verification["file"], verification["network"]
    return (f"accuracy {100 * file['accuracy']:.2f} %, the float network's {100 * network['accuracy']:.2f} %, on "
            f"{verification['pairs_file']}")


def _thresholds(verification: Any) -> str:
    """Of every two images of different people, or of the pair list where that does not say who is in it."""
    if not isinstance(verification, Mapping):
        return ""
    own = verification["thresholds"]
    found = own or verification["file"]["thresholds"]
    limits = ", ".join(f"{value:.3f} at FAR {far}" for far, value in found.items() if value is not None)
    absent = ", ".join(far for far, value in found.items() if value is None)
    of = f"of {verification['impostors']:,} impostor pairs" if own else "of the pair list's impostor pairs"
    return f"{limits or 'none'} ({of}{', too few for ' + absent if absent else ''})"


def _result(result: Mapping[str, Any]) -> str:
    """The figures of an evaluation that fit a line; all of them are in ``metadata.json``."""
    parts = []
    for key in ("accuracy", "rank1"):
        if result.get(key) is not None and result.get(f"{key}_interval"):
            low, high = result[f"{key}_interval"]
            parts.append(f"{key} {100 * result[key]:.2f} % [{100 * low:.2f}, {100 * high:.2f}]")
    for far, value in (result.get("tar") or {}).items():
        if value is not None and (result.get("tar_interval") or {}).get(far):
            low, high = result["tar_interval"][far]
            parts.append(f"TAR at FAR {far} {100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]")
    thresholds = {far: value for far, value in (result.get("thresholds") or {}).items() if value is not None}
    if thresholds:
        parts.append("thresholds " + ", ".join(f"{value:.3f} at FAR {far}" for far, value in thresholds.items()))
    return "; ".join(parts)


def _block(title: str, content: Mapping[str, Any]) -> list[str]:
    if not content:
        return []
    rows = [f"- {key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in content.items()]
    return ["", f"## {title}", "", *rows]


def _devices(entries: Mapping[str, Any]) -> list[str]:
    """The commands that time files on a phone, each once; files of all precisions may share one."""
    titles: dict[str, list[str]] = {}
    for title, entry in entries.items():
        if entry["device"]:
            titles.setdefault(entry["device"], []).append(title)
    if not titles:
        return []
    lines = ["", "## Time it on a device", "",
             "Each tool is built for the device by its runtime's own instructions; run the commands in this folder. "
             "Keep all that benchncnn or benchmark_model prints in a file: `facekd bench PACKAGE --device FILE` reads "
             "it."]
    for command, names in titles.items():
        lines += ["", f"{', '.join(names)}:", "", "```sh", command, "```"]
    return lines


def _usage(name: str, size: int, form: Mapping[str, Any]) -> list[str]:
    scaled = "faces.astype(np.float32)"
    if form["pixels"] == "float":
        scaled = f"(({scaled} - 127.5) / 127.5)"
    lines = [
        "import numpy as np, onnxruntime",
        f'session = onnxruntime.InferenceSession("{name}.onnx")',
        f"# faces: uint8 [n, {size}, {size}, 3], RGB, aligned",
        f"pixels = {scaled}.transpose(0, 3, 1, 2)",
        'embedding = session.run(None, {"input": np.ascontiguousarray(pixels)})[0]',
    ]
    return lines if form["unit"] else [*lines, "embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)"]
