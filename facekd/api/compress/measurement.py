"""The figures of every file of a compression, against the teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facekd.api.across.verify import verify_across
from facekd.api.compress.teacher import Teacher
from facekd.api.evaluate.agree import agree
from facekd.deploy.package import Package
from facekd.io.documents import read_json
from facekd.io.reading import reading
from facekd.reporting.compression import CompressedModel


@dataclass(frozen=True)
class Measurement:
    """Measures the files of packages against the teacher; a result that exists is read again.

    Attributes:
        teacher: the teacher.
        held_out: crops that trained neither teacher nor student.
        pairs: a pair list, if there is one.
        images: the root folder of its paths.
        folder: the folder for the results.
        device: the device of the teacher.
    """

    teacher: Teacher
    held_out: Path
    pairs: Path | None
    images: Path | None
    folder: Path
    device: str

    def measure_package(self, package: Package, network: str) -> Iterator[CompressedModel]:
        """Yield the cost and the figures of every ONNX file of a package.

        Args:
            package: the package.
            network: the name of its network in the report.

        Raises:
            FacekdError: see `facekd.api.evaluate.agree.agree`.
        """
        for entry in package.metadata["files"].values():
            if entry["target"] == "onnx":
                model = _describe(package, network, entry)
                yield model.model_copy(update=self._agreement(model))

    def measure_mixed(self, model: CompressedModel) -> CompressedModel:
        """Return a model with its accuracy in a gallery of the teacher; unchanged without pairs.

        Raises:
            FacekdError: see `facekd.api.across.verify.verify_across`.
        """
        if self.pairs is None:
            return model
        result = self.folder / f"{model.name.replace(' ', '-')}-gallery.json"
        if not result.is_file():
            verify_across(model.file, self.teacher.model, self.pairs, images=self.images, json=result,
                          device=self.device, gallery_input=self.teacher.options)
        content = read_json(result)
        with reading(result, remedy="remove it, and compress again"):
            return model.model_copy(update={"mixed_accuracy": float(content["results"]["new/old"]["accuracy"])})

    def sheet(self, model: CompressedModel) -> Path:
        """Return the picture of the crops on which a measured model and the teacher differ most."""
        return self.folder / f"{model.name.replace(' ', '-')}-worst.jpg"

    def _agreement(self, model: CompressedModel) -> dict[str, Any]:
        result = self.folder / f"{model.name.replace(' ', '-')}-agree.json"
        if not result.is_file():
            agree(model.file, self.teacher.model, self.held_out, json=result, sheet=self.sheet(model),
                  device=self.device, teacher_options=self.teacher.options)
        content = read_json(result)
        with reading(result, remedy="remove it, and compress again"):
            return _agreement_figures(content)


def _describe(package: Package, network: str, entry: Mapping[str, Any]) -> CompressedModel:
    latency, verification = entry["latency"], entry["validation"]["verification"]
    figures: dict[str, Any] = {}
    if isinstance(verification, Mapping):
        interval = verification["file"].get("accuracy_interval")
        figures = {"accuracy": verification["file"]["accuracy"],
                   "accuracy_interval": tuple(interval) if interval else None}
    return CompressedModel(
        network=network, precision=entry["precision"], file=str(package.path / entry["files"][0]),
        parameters=package.metadata["parameters"], macs=package.metadata["macs"], bytes=entry["bytes"],
        milliseconds=None if latency == "not run" else latency["median_ms"], **figures)


def _agreement_figures(content: Mapping[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if content["cosine"]:
        mean = content["cosine"]["mean"]
        figures = {"cosine": float(mean["value"]), "cosine_interval": tuple(mean["interval"]),
                   "cosine_low": float(content["cosine"]["percentile1"]["value"])}
    if content["decisions"]:
        decisions = content["decisions"][0]
        far = f"FAR {decisions['far']}, " if decisions["far"] else ""
        figures |= {"differ": float(decisions["differ"]["value"]), "differ_at": f"{far}{decisions['source']}"}
    return figures
