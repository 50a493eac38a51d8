"""Measure the cost of distillation: seconds per training step on labels, with a live teacher and with a cached one.

    python tools/bench_distill.py                           classes: resnet56 to resnet8, 32 px, replayed crops
    python tools/bench_distill.py --faces                   faces: iresnet50 to MobileFaceNet, 112 px, flips
    python tools/bench_distill.py --peer PATH               also KD by a checkout of megvii-research/mdistiller

All variants are trained in turn, round after round, in one process; the tool prints the median over the rounds. The
images are random: their content does not change the cost. The batches of the peer are in memory already, so that its
time does not include loading.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe, TrainingRecipe
from facekd.data.image_set import ImageSet, Pixels
from facekd.data.loading.augmentation import Augmentation, Flip
from facekd.data.loading.crops import Crop
from facekd.data.loading.loader import Loader
from facekd.methods.distillation import build_distillation
from facekd.methods.objective import parse_objective
from facekd.methods.supervised import Supervised
from facekd.models.registry import Network, create
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.run import Run
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.trainer import Trainer
from facekd.utils.environment import hardware


class RandomImages(ImageSet):
    """Random images with random classes."""

    def __init__(self, images: int, size: int, classes: int) -> None:
        self.path = Path("noise")
        self.class_names = [str(label) for label in range(classes)]
        generator = np.random.default_rng(0)
        self.labels = generator.integers(classes, size=images)
        self._pixels = generator.integers(256, size=(images, size, size, 3), dtype=np.uint8)

    def pixels(self, index: int) -> Pixels:
        """Return the image: uint8 [size, size, 3]."""
        return self._pixels[index]

    def stored_bytes(self, index: int) -> bytes:
        """Return the bytes of the image."""
        return self._pixels[index].tobytes()

    def location(self, index: int) -> str:
        """Return the number of the image."""
        return f"noise {index}"


def main() -> None:
    """Train every variant for some rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", action="store_true", help="iresnet50 to MobileFaceNet at 112 px")
    parser.add_argument("--teacher", help="another teacher")
    parser.add_argument("--student", help="another student")
    parser.add_argument("--steps", type=int, default=8, help="steps per epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--peer", type=Path, help="a checkout of mdistiller")
    args = parser.parse_args()
    size, classes = (112, 1000) if args.faces else (32, 100)
    teacher = args.teacher or ("iresnet50" if args.faces else "resnet56")
    student = args.student or ("mobilefacenet" if args.faces else "resnet8")
    machine = Machine(MachineRecipe())
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), teacher, student, size=size, classes=classes, faces=args.faces,
                      steps=args.steps, batch_size=args.batch, machine=machine)
        variants: dict[str, Callable[[], float]] = {
            "labels only": lambda: bench.train_epoch(bench.labels()),
            "live teacher": lambda: bench.train_epoch(bench.distillation("off")),
            "cached teacher": lambda: bench.train_epoch(bench.distillation("float16")),
        }
        if args.peer:
            variants["mdistiller KD, live"] = lambda: bench.train_peer(args.peer, teacher, student)
        cache_seconds = bench.build_cache()
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for number in range(args.rounds + 1):
            for name, run_epoch in variants.items():
                elapsed = run_epoch()
                if number > 0:  # the first round warms up
                    seconds[name].append(elapsed)
    base = statistics.median(seconds["labels only"])
    sys.stdout.write(f"{teacher} -> {student}, {size} px, batch {args.batch}, {hardware()['label']}, torch "
                     f"{torch.__version__}\n")
    for name, times in seconds.items():
        median = statistics.median(times)
        sys.stdout.write(f"{name:22} {1000 * median / args.steps:9.1f} ms/step   {median / base:5.2f} x labels only\n")
    unit = "cache slot" if args.faces else "epoch"
    sys.stdout.write(f"writing the cache of one {unit}: {cache_seconds / base:.2f} epochs of labels only, "
                     "shared by all runs\n")


class Bench:
    """A pair of networks and a set of random images, with the variants of training on it.

    Args:
        folder: a folder for the route, the cache and checkpoints.
        teacher: the architecture of the teacher.
        student: the architecture of the student.
        size: side of the images in pixels.
        classes: number of classes.
        faces: whether the networks embed faces; otherwise they classify.
        steps: training steps per epoch.
        batch_size: images per step.
        machine: the device and precision of the training.
    """

    def __init__(self, folder: Path, teacher: str, student: str, *, size: int, classes: int, faces: bool, steps: int,
                 batch_size: int, machine: Machine) -> None:
        self.folder = folder
        self.student = student
        self.size = size
        self.classes = classes
        self.outputs = 512 if faces else classes
        self.batch_size = batch_size
        self.machine = machine
        self.head = HeadRecipe(name="arcface" if faces else "softmax")
        weights = {"l2": 1.0} if faces else {"labels": 0.1, "kd": 0.9}
        losses = {name: LossRecipe(weight=weight) for name, weight in weights.items()}
        self.objective = parse_objective("", losses, not faces)
        self.images = RandomImages(steps * batch_size, size, classes)
        augmentation: Augmentation = Flip() if faces else Crop()
        self.loader = Loader(self.images, size, batch_size=batch_size, seed=0, augmentation=augmentation,
                             device=machine.device)
        self.route = Route(folder / "route", None)
        network = create(teacher, size=size, outputs=self.outputs)
        _set_batch_statistics(network, next(self.loader.iter_epoch(0)).images.cpu())
        self.route.spec = network.spec
        self.route.record(network, 1, 1.0, 0.1, "last", {})

    def labels(self) -> Method:
        """Return the training on labels."""
        torch.manual_seed(0)
        return Supervised(create(self.student, size=self.size, outputs=self.outputs), self.head, self.classes)

    def distillation(self, cache: Any) -> Method:
        """Return the distillation; ``cache`` is the recipe key ``teacher_cache``."""
        torch.manual_seed(0)
        anchors = AnchorTeachers(self.route, self.loader, self.images.fingerprint(), cache, self.machine)
        network = create(self.student, size=self.size, outputs=self.outputs)
        teacher_output = anchors.teacher([0]).example_output()
        return build_distillation(network, self.objective, anchors.teacher, teacher_output, self.head, self.loader)

    def build_cache(self) -> float:
        """Return the seconds to write the cache slots of the first epoch, divided by their number."""
        anchors = AnchorTeachers(self.route, self.loader, self.images.fingerprint(), "float16", self.machine)
        slots = [0, 1] if self.loader.augmentation.key == "flip" else [0]
        start = time.perf_counter()
        for slot in slots:
            anchors.outputs(0, slot)
        return (time.perf_counter() - start) / len(slots)

    def train_epoch(self, method: Method) -> float:
        """Return the seconds of one epoch in the training loop, with its checkpoint."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            recipe = TrainingRecipe(epochs=1, batch_size=self.batch_size)
            trainer = Trainer(Run(Path(folder)), method, lambda number: Stage(1, (0,)), self.loader, recipe,
                              self.machine)
            start = time.perf_counter()
            trainer.fit()
            return time.perf_counter() - start

    def train_peer(self, checkout: Path, teacher: str, student: str) -> float:
        """Return the seconds of one epoch of mdistiller's KD with its networks, losses and training steps."""
        sys.path.insert(0, str(checkout))
        from mdistiller.distillers import KD
        from mdistiller.models import cifar_model_dict

        cfg = SimpleNamespace(KD=SimpleNamespace(TEMPERATURE=4, LOSS=SimpleNamespace(CE_WEIGHT=0.1, KD_WEIGHT=0.9)))
        networks = [cifar_model_dict[name][0](num_classes=self.classes) for name in (student, teacher)]
        method = KD(*networks, cfg).to(self.machine.device)
        method.train()
        optimizer = torch.optim.SGD(method.get_learnable_parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        batches = [batch.to(self.machine.device) for batch in self.loader.iter_epoch(0)]
        prepared = [(batch.images.permute(0, 3, 1, 2).float().div(255).contiguous(), batch.labels)
                    for batch in batches]
        start = time.perf_counter()
        for images, labels in prepared:
            optimizer.zero_grad()
            _, losses = method(image=images, target=labels, epoch=1)
            torch.stack([loss.mean() for loss in losses.values()]).sum().backward()
            optimizer.step()
        return time.perf_counter() - start


def _set_batch_statistics(network: Network, images: torch.Tensor) -> None:
    """Set the statistics of new batch normalizations to those of a batch.

    With the initial statistics the outputs of a deep network exceed the range of float16.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network(network.preprocess(images))


if __name__ == "__main__":
    main()
