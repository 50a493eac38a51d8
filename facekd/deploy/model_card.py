"""The model card of a package: what the model is, how accurate it is, and how to run it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from facekd.deploy.lineage import VERBS, describe_lineage
from facekd.text import markdown

INTENDED_USE = (
    "- Made to compare aligned photographs of faces of people who agreed to it, and not to judge anything else of "
    "them.",
    "- A threshold belongs to a false accept rate on people like those it will meet; measure it there. Accuracy "
    "differs between groups of people, and poor alignment, light or compression lower it.",
    "- Embeddings are personal data: keep and delete them as such.",
)


def render_model_card(metadata: Mapping[str, Any]) -> str:
    """Render ``metadata.json`` as Markdown; figures that are missing are left out, none are invented."""
    size, name = metadata["size"], metadata["name"]
    entries: Mapping[str, Any] = metadata["files"]
    lines = [
        f"# {markdown(name)}", "", *describe_lineage(metadata["provenance"]),
        f"A face-recognition model made by facekd: an aligned {size}x{size} face in, "
        f"{metadata['dimension']} numbers out. The cosine between two faces' numbers says how alike they are.", "",
        f"- architecture: {markdown(metadata['model']['name'])}, {metadata['parameters'] / 1e6:.3f} M parameters, "
        f"{metadata['macs'] / 1e6:.0f} M multiply-adds",
        f"- input: {metadata['preprocessing']}; aligned to InsightFace's five-point landmark template",
        f"- output: {'of unit length' if metadata['io_format']['l2_normalized'] else 'not normalized'}", "",
        "| file | bytes | cosine to the network, mean and least | accuracy, points lost [95 %] | status "
        "| ms on one thread of the exporting machine, median and quartiles |",
        "|---|---|---|---|---|---|", *(_table_row(title, entry) for title, entry in entries.items()),
    ]
    notes = dict.fromkeys(note for entry in entries.values() for note in entry["notes"])
    lines += [*(f"\nNote: {markdown(note)}" for note in notes)]
    accuracies = {title: _accuracy(entry["validation"]["verification"]) for title, entry in entries.items()}
    lines += _section("Verification", accuracies)
    lines += _losses_against(entries)
    thresholds = {title: _thresholds(entry["validation"]["verification"]) for title, entry in entries.items()}
    lines += _section("Thresholds of the cosine", thresholds)
    results = {markdown(key): _result(value) for key, value in metadata["results"].items()}
    lines += _section("Results of the network", results)
    lines += _section("Provenance", {key: markdown(value if isinstance(value, str) else json.dumps(value))
                                     for key, value in metadata["provenance"].items() if key not in VERBS})
    lines += _section("Exported with", {title: _versions(entry) for title, entry in entries.items()})
    lines += _device_commands(entries)
    lines += ["", "## Intended use and limits", "", *INTENDED_USE]
    if "onnx fp32" in entries:
        lines += ["", "## Run it", "", "```python", *_usage(name, size, metadata["io_format"]), "```"]
    return "\n".join([*lines, ""])


def _table_row(title: str, entry: Mapping[str, Any]) -> str:
    validation, latency = entry["validation"], entry["latency"]
    cosine = "not run"
    drop = "not measured"
    speed = "not run"
    if validation["cosine"] != "not run":
        summary = validation["cosine"].get("crops", validation["cosine"]["noise"])["1"]
        cosine = f"{summary['mean']:.4f}, {summary['minimum']:.4f} ({summary['images']} images)"
    if isinstance(validation["verification"], Mapping):
        drop = _loss(validation["verification"]["drop"]["accuracy"])
    if latency != "not run":
        first, third = latency["quartiles_ms"]
        speed = f"{latency['median_ms']:.2f} ({first:.2f} to {third:.2f})"
    names = markdown(", ".join(entry["files"]))
    cells = (f"{names} ({markdown(title)})", f"{entry['bytes']:,}", cosine, drop, validation["status"], speed)
    return f"| {' | '.join(cells)} |"


def _accuracy(verification: Any) -> str:
    """Return the accuracy of a file and of the network; empty if it was not measured."""
    if not isinstance(verification, Mapping):
        return ""
    file, network = verification["file"], verification["network"]
    return (f"accuracy {100 * file['accuracy']:.2f} %, the float network's {100 * network['accuracy']:.2f} %, on "
            f"{markdown(verification['pairs_file'])}")


def _losses_against(entries: Mapping[str, Any]) -> list[str]:
    """Return the section of what the files lose against another model, e.g. the teacher; empty without one."""
    rows, reference = {}, None
    for title, entry in entries.items():
        verification = entry["validation"]["verification"]
        if isinstance(verification, Mapping) and verification["against"]:
            reference = verification["against"]
            rows[title] = ", ".join(f"{metric} {_loss(loss)}" for metric, loss in reference["drop"].items())
    if reference is None:
        return []
    heading = f"Points lost against {markdown(reference['name'])} [95 %]"
    accuracy = f"its accuracy {100 * reference['result']['accuracy']:.2f} %, SHA-256 {markdown(reference['sha256'])}"
    return _section(heading, {"the model": accuracy, **rows})


def _loss(loss: Mapping[str, Any]) -> str:
    low, high = loss["interval"]
    return f"{loss['points']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _thresholds(verification: Any) -> str:
    """Return thresholds by FAR, set on all pairs of two identities, or on the list if it names no identities."""
    if not isinstance(verification, Mapping):
        return ""
    thresholds = verification["thresholds"]
    pairs = f"{verification['impostor_pairs']:,} impostor pairs"
    if not thresholds:
        thresholds = verification["file"]["thresholds"]
        pairs = "the pair list's impostor pairs"
    known = _threshold_list(thresholds)
    unknown = ", ".join(far for far, value in thresholds.items() if value is None)
    return f"{known or 'none'} (of {pairs}{', too few for ' + unknown if unknown else ''})"


def _threshold_list(thresholds: Mapping[str, float | None]) -> str:
    return ", ".join(f"{value:.3f} at FAR {far}" for far, value in thresholds.items() if value is not None)


def _result(result: Mapping[str, Any]) -> str:
    """Return the main figures of an evaluation; ``metadata.json`` has all of them."""
    phrases = []
    for key in ("accuracy", "rank1"):
        if result.get(key) is not None and result.get(f"{key}_interval"):
            low, high = result[f"{key}_interval"]
            phrases.append(f"{key} {100 * result[key]:.2f} % [{100 * low:.2f}, {100 * high:.2f}]")
    for far, value in (result.get("tar") or {}).items():
        if value is not None and (result.get("tar_interval") or {}).get(far):
            low, high = result["tar_interval"][far]
            phrases.append(f"TAR at FAR {far} {100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]")
    thresholds = _threshold_list(result.get("thresholds") or {})
    if thresholds:
        phrases.append(f"thresholds {thresholds}")
    return "; ".join(phrases)


def _versions(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{package} {version}" for package, version in entry["versions"].items())


def _section(heading: str, content: Mapping[str, str]) -> list[str]:
    """Return a heading and a list of Markdown; entries without text are left out, and so is a heading without any."""
    rows = [f"- {key}: {value}" for key, value in content.items() if value != ""]
    return ["", f"## {heading}", "", *rows] if rows else []


def _device_commands(entries: Mapping[str, Any]) -> list[str]:
    """Return the commands that time files on a phone, each once; files of several precisions can share one."""
    titles: dict[str, list[str]] = {}
    for title, entry in entries.items():
        if entry["device_command"]:
            titles.setdefault(entry["device_command"], []).append(title)
    if not titles:
        return []
    lines = ["", "## Time it on a device", "",
             "Each tool is built for the device by its runtime's own instructions; run the commands in this folder. "
             "Save the output of benchncnn or benchmark_model: `facekd bench PACKAGE --phone-log FILE` reads it."]
    for command, names in titles.items():
        lines += ["", f"{markdown(', '.join(names))}:", "", "```sh", *command.splitlines(), "```"]
    return lines


def _usage(name: str, size: int, io_format: Mapping[str, Any]) -> list[str]:
    """Return the lines of a Python program that runs the float32 ONNX file."""
    pixels = "faces.astype(np.float32)"
    if io_format["input_dtype"] == "float":
        pixels = f"(({pixels} - 127.5) / 127.5)"
    lines = [
        'import os; os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported',
        "import numpy as np, onnxruntime",
        f"session = onnxruntime.InferenceSession({json.dumps(f'{name}.onnx')})",
        f"# faces: uint8 [n, {size}, {size}, 3], RGB, aligned",
        f"pixels = {pixels}.transpose(0, 3, 1, 2)",
        'embedding = session.run(None, {"input": np.ascontiguousarray(pixels)})[0]',
    ]
    if not io_format["l2_normalized"]:
        lines.append("embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)")
    return lines
