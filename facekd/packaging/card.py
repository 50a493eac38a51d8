"""The page that travels with a package and tells a stranger what it is and how to run it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def card(metadata: Mapping[str, Any]) -> str:
    """Markdown from what ``metadata.json`` holds; figures that are absent are left out, none are invented."""
    size, name = metadata["size"], metadata["name"]
    lines = [
        f"# {name}", "",
        f"A face-recognition model made by facekd: an aligned {size}x{size} face in, "
        f"{metadata['dimension']} numbers out. The cosine between two faces' numbers says how alike they are.", "",
        f"- architecture: {metadata['model']['name']}, {metadata['parameters'] / 1e6:.3f} M parameters, "
        f"{metadata['macs'] / 1e6:.0f} M multiply-adds",
        f"- input: {metadata['preprocessing']}; aligned to InsightFace's five-point template", "",
        "| file | bytes | latency, 1 thread (ms, median and quartiles) |", "|---|---|---|",
        *(_file_row(entry) for entry in metadata["files"].values()), "",
        f"Largest difference from the network, L2-normalised: {_parity(metadata['parity'])}.",
    ]
    if "int8" in metadata:
        near = metadata["int8"]["cosine_to_float"]
        lines += [
            "", f"int8 against float, cosine over {near['images']} faces: mean {near['mean']:.4f}, "
            f"least {near['minimum']:.4f} (calibrated on {metadata['int8']['calibrated_on']} faces). "
            "See its own verification score before using it.",
        ]
    lines += [*(f"\nNote: {note}" for note in metadata["notes"])]
    for entry in metadata["files"].values():
        lines += _block(f"Score of {entry['name']}", entry.get("score", {}))
    lines += _block("Results", metadata["results"]) + _block("Where it comes from", metadata["provenance"])
    lines += ["", "## Run it", "", "```python", *_usage(name, size), "```", ""]
    return "\n".join(lines)


def _file_row(entry: Mapping[str, Any]) -> str:
    timing = entry["latency"]
    low, high = timing["quartiles_ms"]
    return f"| {entry['name']} | {entry['bytes']:,} | {timing['median_ms']:.2f} ({low:.2f} to {high:.2f}) |"


def _parity(parity: Mapping[str, Any]) -> str:
    parts = [f"{gap:.1e} at batch {count}" for count, gap in parity["noise"].items()]
    if parity["crops"] is not None:
        parts.append(f"{parity['crops']:.1e} on faces")
    return ", ".join(parts)


def _block(title: str, content: Mapping[str, Any]) -> list[str]:
    if not content:
        return []
    rows = [f"- {key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in content.items()]
    return ["", f"## {title}", "", *rows]


def _usage(name: str, size: int) -> list[str]:
    return [
        "import numpy as np, onnxruntime",
        f'session = onnxruntime.InferenceSession("{name}.onnx")',
        f"# faces: uint8 [n, {size}, {size}, 3], RGB, aligned",
        "pixels = ((faces.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)",
        'embedding = session.run(None, {"input": np.ascontiguousarray(pixels)})[0]',
        "embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)",
    ]
