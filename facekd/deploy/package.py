"""The package: one folder with all that goes to the phone, what is known about it, and how it is read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from facekd.deploy.source import Form, Interface
from facekd.deploy.targets import target_of
from facekd.deploy.targets.base import Precision
from facekd.errors import ExportError, nearest
from facekd.models.embedder import Embedder
from facekd.utils import files

VERSION = 2


@dataclass(frozen=True)
class Package:
    """What a package holds.

    Attributes:
        path: the folder.
        metadata: the content of ``metadata.json``; each of its ``files`` goes by its target and precision, e.g.
            ``onnx int8``.
    """

    path: Path
    metadata: dict[str, Any]

    def open(self, title: str, threads: int = 1) -> Embedder:
        """One of its files, ready to run.

        Args:
            title: target and precision, e.g. ``onnx int8``.
            threads: to run on.

        Raises:
            ExportError: it holds no such file, the runtime is not installed, or the file does not run.
            NotRunnable: the runtime does not run on this machine.
        """
        entries: Mapping[str, Any] = self.metadata["files"]
        if title not in entries:
            raise ExportError(f"{self.path} holds no '{title}': {nearest(title, list(entries))}")
        about = self.metadata
        interface = Interface(about["size"], about["dimension"], Form(**about["form"]))
        paths = [self.path / name for name in entries[title]["files"]]
        return target_of(entries[title]["target"]).open(paths, interface, threads)

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


def read_package(path: Path) -> Package:
    """A package that `facekd.deploy.export.write_package` wrote, with every file as it was written.

    Raises:
        ExportError: no package, one of another format version, or a file is missing or was changed.
    """
    content = files.read_versioned(path / "metadata.json", "package", VERSION, ExportError)
    if content["version"] != VERSION:
        raise ExportError(
            f"{path} is a package of format version {content['version']}, this facekd reads {VERSION}; export it again"
        )
    for name, wanted in content["sha256"].items():
        file = path / name
        if not file.is_file():
            raise ExportError(f"{file} is missing from its package; copy the whole folder again, or export it again")
        if files.sha256(file) != wanted:
            raise ExportError(f"{file} is not what was exported: its SHA-256 is another; copy it or export it again")
    return Package(path, content)


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
