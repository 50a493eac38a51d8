"""Writing a package: every file made, proved, timed and described, or no folder at all."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from facekd.deploy.benchmark.latency import latency
from facekd.deploy.model_card import card
from facekd.deploy.onnx.quantization_error import layer_noise
from facekd.deploy.package import VERSION, Package
from facekd.deploy.source import Source
from facekd.deploy.targets import Made, Target, target_of
from facekd.deploy.targets.base import Precision
from facekd.deploy.validation import Proof, Prover
from facekd.deploy.validation_gate import Layers
from facekd.errors import ExportError
from facekd.models.complexity import macs, parameters
from facekd.utils import files

LICENCES = {"licence_code": "Apache-2.0", "licence_weights": "unknown", "licence_data": "unknown"}
"""What card and metadata say of licences where nobody says otherwise; the code is facekd's."""
Wish = tuple[str, Precision]
"""A target's name and a precision."""


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
                  provenance: Mapping[str, Any], int8: Callable[[int], Source] | None = None) -> Package:
    """Export a network and write its files, ``card.md`` and ``metadata.json`` into one folder.

    The folder appears whole, by one rename, or not at all: a file that is refused takes the package with it. A package
    that stands there already is never touched.

    Args:
        source: what is exported.
        out: the folder, which must not exist or be empty.
        wanted: see `wishes`.
        prover: of the source.
        results: what evaluation measured, JSON-able, for card and metadata.
        provenance: where the model comes from (run, data, teacher), JSON-able; `LICENCES` are
            those that are not given here.
        int8: gives what int8 files of so many `Target.weight_steps` are made from, where that is not ``source``;
            called once for each number, when the first of its files is due.

    Raises:
        ExportError: the folder is not empty, the name is no file name, or a file was refused.
    """
    if not source.name or Path(source.name).name != source.name:
        raise ExportError(f"{source.name!r} cannot be a package's name; give a plain file name without a folder")
    with files.new_folder(out, ExportError) as building:
        metadata = _metadata(source, results, provenance)
        targets = {name: target_of(name) for name, _ in wanted}
        rounded = cache(int8 or (lambda steps: source))
        for name, precision in wanted:
            own = rounded(targets[name].weight_steps) if precision == "int8" else source
            metadata["files"][f"{name} {precision}"] = _file(targets[name], precision, own, building, prover)
        for entry in metadata["files"].values():
            entry["device"] = _device(targets[entry["target"]], entry, metadata)
        files.write_text(building / "card.md", card(metadata))
        metadata["sha256"] = {str(file.relative_to(building)): files.sha256(file)
                              for file in sorted(building.rglob("*")) if file.is_file()}
        files.write_versioned(building / "metadata.json", "package", VERSION, metadata)
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
            "proof": proof.to_dict(), "latency": asdict(latency(opened())) if ran else "not run"}


def _device(target: Target, entry: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """How a file is timed on a phone: by a command of its own, or by that of its target's first file."""
    shown = entry
    if target.weightless:
        shown = next(other for other in metadata["files"].values() if other["target"] == target.name)
    return target.device.format(files=shlex.join(shown["files"]), size=metadata["size"], threads=1)


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
        "provenance": {**LICENCES, **provenance},
    }
