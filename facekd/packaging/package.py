"""The package: one folder with all that goes to the phone, and what is known about it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

from facekd import files
from facekd.errors import ExportError
from facekd.models.count import macs, parameters
from facekd.packaging.card import card
from facekd.packaging.gate import Layers
from facekd.packaging.latency import latency
from facekd.packaging.layers import layer_noise
from facekd.packaging.proof import Proof, Prover
from facekd.packaging.source import Source
from facekd.packaging.targets import Made, Target, target_of
from facekd.packaging.targets.target import Precision

VERSION = 2
LICENCES = ("licence_model", "licence_data")
Wish = tuple[str, Precision]
"""A target's name and a precision."""


@dataclass(frozen=True)
class Package:
    """What a package holds.

    Attributes:
        path: the folder.
        metadata: the content of ``metadata.json``.
    """

    path: Path
    metadata: dict[str, Any]

    def describe(self) -> str:
        """The package as lines to read."""
        about = self.metadata
        lines = [f"{self.path}: {about['parameters']:,} parameters, {about['macs'] / 1e6:.1f} M multiply-adds"]
        lines += [_line(name, entry) for name, entry in about["files"].items()]
        notes = dict.fromkeys(note for entry in about["files"].values() for note in entry["notes"])
        return "\n".join([*lines, *notes, *self.left_out])

    @property
    def left_out(self) -> list[str]:
        """What it does not hold of its targets, in one line; none where nothing is missing."""
        made = {(entry["target"], entry["precision"]) for entry in self.metadata["files"].values()}
        absent = [f"{name} {precision}" for name in dict.fromkeys(name for name, _ in made)
                  for precision in get_args(Precision) if (name, precision) not in made]
        why = "not offered, not asked for, or int8 without calibration"
        return [f"not in it: {', '.join(absent)} ({why})"] if absent else []


def wishes(targets: Sequence[str], precisions: Sequence[Precision], calibrated: bool) -> list[Wish]:
    """What to make.

    Args:
        targets: by name.
        precisions: those wanted; none means all that a target offers, int8 only where there is calibration.
        calibrated: whether there are calibration crops.

    Raises:
        ExportError: an unknown target, one that is not installed, or a precision that no target offers.
    """
    made = [target_of(name) for name in dict.fromkeys(targets)]
    if not made:
        raise ExportError("no target was named; give at least one, e.g. --to onnx")
    for target in made:
        target.demand()
    offered = {precision for target in made for precision in target.precisions}
    for precision in precisions:
        if precision not in offered:
            raise ExportError(f"{', '.join(targets)}: no file in {precision}; offered are {', '.join(sorted(offered))}")
    if "int8" in precisions and not calibrated:
        raise ExportError("int8 files need faces to set their ranges by; give --calibration FACES of the training set")
    return [(target.name, precision) for target in made for precision in target.precisions
            if (precision in precisions if precisions else calibrated or precision != "int8")]


def write_package(source: Source, out: Path, wanted: Sequence[Wish], prover: Prover, *, results: Mapping[str, Any],
                  provenance: Mapping[str, Any]) -> Package:
    """Export a network and write its files, ``card.md`` and ``metadata.json`` into one folder.

    The folder appears whole, by one rename, or not at all: a file that is refused takes the package with it. A package
    that stands there already is never touched.

    Args:
        source: what is exported.
        out: the folder, which must not exist or be empty.
        wanted: see `wishes`.
        prover: of the source.
        results: what evaluation measured, JSON-able, for card and metadata.
        provenance: where the model comes from (run, data, teacher), JSON-able; ``licence_model`` and ``licence_data``
            are written as "unknown" unless they are given here.

    Raises:
        ExportError: the folder is not empty, the name is no file name, or a file was refused.
    """
    if not source.name or Path(source.name).name != source.name:
        raise ExportError(f"{source.name!r} cannot be a package's name; give a plain file name without a folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} exists and is not an empty folder; choose another place or remove it first")
    building = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        metadata = _metadata(source, results, provenance)
        targets = {name: target_of(name) for name, _ in wanted}
        for name, precision in wanted:
            metadata["files"][f"{name} {precision}"] = _file(targets[name], precision, source, building, prover)
        files.write_text(building / "card.md", card(metadata))
        metadata["sha256"] = {str(file.relative_to(building)): files.sha256(file)
                              for file in sorted(building.rglob("*")) if file.is_file()}
        files.write_versioned(building / "metadata.json", "package", VERSION, metadata)
        building.replace(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Package(out, files.read_json(out / "metadata.json"))


def _file(target: Target, precision: Precision, source: Source, folder: Path, prover: Prover) -> dict[str, Any]:
    """Make one file, prove it and time it."""
    made = target.convert(source, precision, folder)
    opened = cache(partial(target.open, made.files, source.interface))  # once, for the proof and the clock
    # Called as it will be: the folder it stands in now is gone when a refusal is read.
    proof = prover.prove(Path(made.files[0].name), precision, opened, _layers(made, precision, source))
    ran = proof.standing != "not run"
    return {"target": target.name, "precision": precision, "files": [file.name for file in made.files],
            "bytes": sum(map(_bytes, made.files)), "versions": target.versions(), "notes": _notes(made, proof),
            "proof": proof.to_dict(), "latency": asdict(latency(opened())) if ran else "not run",
            "device": target.device.format(files=" ".join(file.name for file in made.files),
                                           size=source.interface.size, threads=1)}


def _layers(made: Made, precision: Precision, source: Source) -> Layers | None:
    """Which layers lose most: of int8 ONNX files, where the float file stands beside them."""
    file = made.files[0]
    whole = file.with_name(f"{source.name}.onnx")
    if precision != "int8" or file.suffix != ".onnx" or not whole.exists() or source.calibration is None:
        return None
    return partial(layer_noise, whole, file, source.calibration[:16])


def _notes(made: Made, proof: Proof) -> list[str]:
    return [*made.notes, *([proof.note] if proof.note else [])]


def _bytes(path: Path) -> int:
    """Of a file, or of all files of a folder."""
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in inside if file.is_file())


def _metadata(source: Source, results: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": source.name, "model": source.spec.to_dict(), "parameters": parameters(source.network),
        "macs": macs(source.network, source.spec.size), "size": source.interface.size,
        "dimension": source.interface.dimension, "form": asdict(source.form),
        "preprocessing": f"RGB, {source.form.scaling}, [batch, 3, size, size]", "files": {}, "results": dict(results),
        "provenance": {**dict.fromkeys(LICENCES, "unknown"), **provenance},
    }


def _line(name: str, entry: Mapping[str, Any]) -> str:
    proof, timing = entry["proof"], entry["latency"]
    if timing == "not run":
        return f"{name}: {entry['files'][0]}, {entry['bytes'] / 1e6:.2f} MB, not run"
    parts = [f"{name}: {entry['files'][0]}", f"{entry['bytes'] / 1e6:.2f} MB", f"{timing['median_ms']:.2f} ms"]
    cosine = proof["cosine"].get("crops", proof["cosine"]["noise"])["1"]
    parts.append(f"cosine {cosine['mean']:.4f} (lowest {cosine['minimum']:.4f})")
    if isinstance(proof["verification"], Mapping):
        drop = proof["verification"]["drop"]["accuracy"]
        low, high = drop["interval"]
        parts.append(f"accuracy {100 * proof['verification']['file']['accuracy']:.2f} %, {drop['points']:+.2f} points "
                     f"lost [{low:+.2f}, {high:+.2f}], {proof['standing']}")
    return ", ".join(parts)
