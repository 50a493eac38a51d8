"""The commands that write, with inputs on which each takes a few seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TINY = (
    "model.name=iresnet10", "model.options={width: 0.25}", "model.size=32", "model.embedding=16", "head.scale=16",
    "training.batch_size=4", "training.epochs=1", "training.learning_rate=0.02", "machine.device=cpu",
    "machine.threads=1",
)
STUDENT = tuple(word.replace("model.", "student.") for word in TINY)
SEARCH = ("training.epochs=1", "training.batch_size=6", "training.learning_rate=0.05", "sparsity=0.05",
          "random_controls=1", "machine.device=cpu", "machine.threads=1")


@dataclass(frozen=True)
class Inputs:
    """What the commands read.

    Attributes:
        faces: an image folder of 8 identities with 6 crops each.
        distractors: an image folder of 15 identities with one crop each.
        gallery: an image folder of 8 identities with 3 crops each, half of them those of ``faces``.
        pairs: a pair list of ``faces``.
        teacher: a finished run with a route.
        classifier: a finished run of a classifier; it need not exist where nothing is read.
        plan: a plan of ``teacher``.
        detector: a face detector.
        checkpoint: the weights of a MobileFaceNet.
        package: an exported package.
    """

    faces: Path
    distractors: Path
    gallery: Path
    pairs: Path
    teacher: Path
    classifier: Path
    plan: Path
    detector: Path
    checkpoint: Path
    package: Path


@dataclass(frozen=True)
class Verb:
    """A command that writes.

    Attributes:
        name: the name of the command, and of the option by which it writes.
        words: the arguments behind the command for inputs and an output.
        ending: the ending of the output.
        folder: whether the output is a folder.
        products: glob patterns of the files in the output folder whose bytes are the same in every call; ``"."`` is the
            output itself.
    """

    name: str
    words: Callable[[Inputs, Path], tuple[object, ...]]
    ending: str = ""
    folder: bool = True
    products: tuple[str, ...] = ()

    def arguments(self, inputs: Inputs, out: Path) -> list[str]:
        """Return the command line without ``facekd``."""
        command = self.name.split(" --")[0].split()
        return [*command, *map(str, self.words(inputs, out))]

    def output(self, folder: Path) -> Path:
        """Return the output in a folder."""
        return folder / f"{self.name.replace(' ', '_')}{self.ending}"

    def contents(self, out: Path) -> dict[str, bytes]:
        """Return the files whose bytes are the same in every call, by name."""
        files = [file for pattern in self.products for file in ([out] if pattern == "." else sorted(out.glob(pattern)))]
        assert bool(files) == bool(self.products)
        return {file.relative_to(out).as_posix(): file.read_bytes() for file in files}


VERBS = (
    Verb("align", lambda i, out: (i.faces, out, "--detector", i.detector, "--size", 32), products=("*/*.*",)),
    Verb("pack", lambda i, out: (i.faces, out), products=("train.*", "property", "names.txt")),
    Verb("clean", lambda i, out: (i.faces, i.teacher, out, "--angle", 90, "--min-images", 1), products=("train.*",)),
    Verb("doctor --json", lambda i, out: (i.faces, "--json", out), ".json", False),
    Verb("train", lambda i, out: (i.faces, out, *TINY),
         products=("model.safetensors", "route/*.safetensors")),
    Verb("plan", lambda i, out: (i.teacher, out, "--anchors", 2), ".json", False, (".",)),
    Verb("route import", lambda i, out: (i.checkpoint, out, "--model", "mobilefacenet", "--size", 32),
         products=("*.safetensors",)),
    Verb("distill", lambda i, out: (i.faces, i.plan, out, *STUDENT),
         products=("model.safetensors",)),
    Verb("search", lambda i, out: (i.classifier, out, *SEARCH)),
    Verb("eval verify --json", lambda i, out: ("--model", i.teacher / "model.safetensors", "--pairs", i.pairs,
                                               "--images", i.faces, "--json", out), ".json", False),
    Verb("eval megaface --json", lambda i, out: ("--model", i.teacher / "model.safetensors", "--probes", i.faces,
                                                 "--distractors", i.distractors, "--json", out), ".json", False),
    Verb("eval megaface --features", lambda i, out: ("--model", i.teacher / "model.safetensors", "--probes", i.faces,
                                                     "--distractors", i.distractors, "--features", out),
         products=("*.npy",)),
    Verb("eval identify --json", lambda i, out: ("--model", i.teacher / "model.safetensors", "--probes", i.faces,
                                                 "--gallery", i.gallery, "--json", out), ".json", False),
    Verb("export", lambda i, out: (i.teacher, out, "--precision", "fp32"), products=("*.onnx",)),
    Verb("bench --json", lambda i, out: (i.package, "--repeats", 10, "--warmup", 0, "--json", out), ".json", False),
    Verb("report --out", lambda i, out: (i.teacher, "--out", out)),
    Verb("report --results", lambda i, out: (i.teacher, "--results", out), ".csv", False, ()),
    Verb("embed", lambda i, out: (i.faces, out, "--model", i.teacher / "model.safetensors"), ".npy", False,
         (".",)),
    Verb("demo", lambda i, out: (out,)),
)
SLOW = frozenset({"demo", "search"})
"""Commands that take a minute or need further inputs; they are only refused here."""
WAITING = frozenset({"report --results"})
"""Commands that wait for another process that adds rows to the same file."""
