"""A package: one folder with all files for the phone and their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from facekd.deploy.package_record import PackageRecord
from facekd.deploy.source import ExportFormat, IOSpec
from facekd.deploy.targets import get_target
from facekd.deploy.targets.base import Precision
from facekd.errors import ExportError, FacekdError, did_you_mean
from facekd.io import files
from facekd.io.reading import reading
from facekd.models.embedder import Embedder
from facekd.text import path_text, shorten

VERSION = 4


@dataclass(frozen=True)
class Package:
    """A package on disk.

    Attributes:
        path: the folder.
        metadata: the checked content of ``metadata.json``; the keys of its ``files`` are target and precision, e.g.
            ``onnx int8``.
    """

    path: Path
    metadata: dict[str, Any]

    def open(self, title: str, threads: int = 1) -> Embedder:
        """Open one file as an embedder.

        Args:
            title: target and precision, e.g. ``onnx int8``.
            threads: number of threads to run on.

        Raises:
            ExportError: the package has no such file, the runtime is not installed, or the file does not run.
            RuntimeUnavailableError: the runtime does not exist on this machine.
        """
        entries: Mapping[str, Any] = self.metadata["files"]
        if title not in entries:
            raise ExportError(f"{path_text(self.path)} holds no '{title}': {did_you_mean(title, list(entries))}")
        file_format = ExportFormat(**self.metadata["io_format"])
        io_spec = IOSpec(self.metadata["size"], self.metadata["dimension"], file_format)
        paths = [self.path / name for name in entries[title]["files"]]
        return get_target(entries[title]["target"]).open(paths, io_spec, threads)

    def describe(self) -> str:
        """Return a description of the package as lines of text."""
        entries: Mapping[str, Any] = self.metadata["files"]
        parameters, macs = self.metadata["parameters"], self.metadata["macs"]
        lines = [f"{self.path}: {parameters:,} parameters, {macs / 1e6:.1f} M multiply-adds"]
        lines += [_describe_file(title, entry) for title, entry in entries.items()]
        notes = dict.fromkeys(note for entry in entries.values() for note in entry["notes"])
        return "\n".join([*lines, *notes, *self.missing_files])

    @property
    def missing_files(self) -> list[str]:
        """One line with the precisions that the package does not hold of its targets; empty if there are none."""
        present = {(entry["target"], entry["precision"]) for entry in self.metadata["files"].values()}
        missing = [f"{name} {precision}" for name in dict.fromkeys(name for name, _ in present)
                   for precision in get_args(Precision) if (name, precision) not in present]
        reason = "not offered, not requested, or int8 without calibration"
        return [f"not in it: {', '.join(missing)} ({reason})"] if missing else []


def read_package(path: Path) -> Package:
    """Read a package that `facekd.deploy.export.write_package` wrote, and verify the checksums of its files.

    Raises:
        ExportError: the folder is not a package, has another format version, or a file is missing or was changed.
    """
    metadata = read_metadata(path / "metadata.json", ExportError)
    for name, checksum in metadata["sha256"].items():
        file = path / name
        if not file.is_file():
            raise ExportError(f"{path_text(file)} is missing from its package; copy the whole folder again, or export "
                              "it again")
        with reading(file, ExportError, remedy="copy it, or export it again"):
            actual = files.sha256(file)
        if actual != checksum:
            raise ExportError(f"{path_text(file)} is not what was exported: its SHA-256 is another; copy it or export "
                              "it again")
    return Package(path, metadata)


def read_metadata(file: Path, error: type[FacekdError]) -> dict[str, Any]:
    """Read ``metadata.json`` of a package.

    Raises:
        error: the file is absent or damaged, or has another format version.
    """
    record = files.read_versioned(file, "package", VERSION, error, schema=PackageRecord, remedy="export it again")
    return record.model_dump(exclude_unset=True)


def _describe_file(title: str, entry: Mapping[str, Any]) -> str:
    validation, latency = entry["validation"], entry["latency"]
    if latency == "not run":
        return f"{title}: {entry['files'][0]}, {entry['bytes'] / 1e6:.2f} MB, not run"
    phrases = [f"{title}: {entry['files'][0]}", f"{entry['bytes'] / 1e6:.2f} MB", f"{latency['median_ms']:.2f} ms"]
    cosine = validation["cosine"].get("crops", validation["cosine"]["noise"])["1"]
    phrases.append(f"cosine {cosine['mean']:.4f} (lowest {cosine['minimum']:.4f})")
    if isinstance(validation["verification"], Mapping):
        accuracy = validation["verification"]["file"]["accuracy"]
        drop = validation["verification"]["drop"]["accuracy"]
        low, high = drop["interval"]
        phrases.append(f"accuracy {100 * accuracy:.2f} %, {drop['points']:+.2f} points lost [{low:+.2f}, {high:+.2f}], "
                       f"{validation['status']}")
        against = validation["verification"]["against"]
        if against:
            losses = ", ".join(f"{metric} {loss['points']:+.2f}" for metric, loss in against["drop"].items())
            phrases.append(f"points lost against {shorten(against['name'])}: {losses}")
    return ", ".join(phrases)
