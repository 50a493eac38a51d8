"""What following a teacher costs: seconds a training step, from labels, with a live teacher and with its cache.

    python tools/bench_distill.py                           classes: resnet56 to resnet8, 32 px, replayed crops
    python tools/bench_distill.py --faces                   faces: iresnet50 to MobileFaceNet, 112 px, flips
    python tools/bench_distill.py --peer PATH               also KD by the checkout of megvii-research/mdistiller there

All ways are trained in turn, round after round, in one process; what is printed is the median over the rounds. Images
are random: what they show does not change the cost. The peer finds its batches ready in memory, which spares it the
loading.
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

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe, ScheduleRecipe
from facekd.data.image_set import ImageSet, Pixels
from facekd.data.loading.augmentation import Augmentation, Crop, Flip
from facekd.data.loading.loader import Loader
from facekd.methods.distillation import Distillation
from facekd.methods.objective import mixture
from facekd.methods.supervised import Labels
from facekd.models.registry import Network, create
from facekd.route.route import Route
from facekd.route.teachers import Anchors
from facekd.run import Run, hardware
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.trainer import Trainer


class Noise(ImageSet):
    """Random images of random classes."""

    def __init__(self, images: int, size: int, classes: int) -> None:
        self.path, self.names = Path("noise"), [str(c) for c in range(classes)]
        generator = np.random.default_rng(0)
        self.labels = generator.integers(classes, size=images)
        self._pixels = generator.integers(256, size=(images, size, size, 3), dtype=np.uint8)

    def pixels(self, index: int) -> Pixels:
        """See `ImageSet.pixels`."""
        return self._pixels[index]

    def content(self, index: int) -> bytes:
        """See `ImageSet.content`."""
        return self._pixels[index].tobytes()

    def where(self, index: int) -> str:
        """See `ImageSet.where`."""
        return f"noise {index}"


def main() -> None:
    """Train every way for some rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", action="store_true", help="iresnet50 to MobileFaceNet at 112 px")
    parser.add_argument("--teacher", help="another teacher")
    parser.add_argument("--student", help="another student")
    parser.add_argument("--steps", type=int, default=8, help="steps an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--peer", type=Path, help="a checkout of mdistiller")
    a = parser.parse_args()
    size, classes = (112, 1000) if a.faces else (32, 100)
    teacher = a.teacher or ("iresnet50" if a.faces else "resnet56")
    student = a.student or ("mobilefacenet" if a.faces else "resnet8")
    machine = Machine(MachineRecipe())
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), teacher, student, size, classes, a.faces, a.steps, a.batch, machine)
        ways: dict[str, Callable[[], float]] = {
            "labels only": lambda: bench.epoch(bench.labels()),
            "live teacher": lambda: bench.epoch(bench.distillation("off")),
            "cached teacher": lambda: bench.epoch(bench.distillation("float16")),
        }
        if a.peer:
            ways["mdistiller KD, live"] = lambda: bench.peer(a.peer, teacher, student)
        build = bench.build_cache()
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(a.rounds + 1):
            for name, way in ways.items():
                taken = way()
                if number:  # the first round warms up
                    seconds[name].append(taken)
    base = statistics.median(seconds["labels only"])
    sys.stdout.write(f"{teacher} -> {student}, {size} px, batch {a.batch}, {hardware()['label']}, torch "
                     f"{torch.__version__}\n")
    for name, times in seconds.items():
        middle = statistics.median(times)
        sys.stdout.write(f"{name:22} {1000 * middle / a.steps:9.1f} ms/step   {middle / base:5.2f} x labels only\n")
    unit = "view" if a.faces else "epoch"
    sys.stdout.write(f"writing the cache of one {unit}: {build / base:.2f} epochs of labels only, shared by all runs\n")


class Bench:
    """One pair of networks, one set of noise, and the ways to train on it."""

    def __init__(self, folder: Path, teacher: str, student: str, size: int, classes: int, faces: bool, steps: int,
                 batch: int, machine: Machine) -> None:
        self.folder, self.student, self.classes, self.steps, self.machine = folder, student, classes, steps, machine
        self.outputs, self.size, self.batch = (512 if faces else classes), size, batch
        self.head = HeadRecipe(name="arcface" if faces else "softmax")
        weights = {"l2": 1.0} if faces else {"labels": 0.1, "kd": 0.9}
        self.mixed = mixture("", {name: LossRecipe(weight=weight) for name, weight in weights.items()}, not faces)
        self.images = Noise(steps * batch, size, classes)
        augmentation: Augmentation = Flip() if faces else Crop()
        self.loader = Loader(self.images, size, batch, 0, augmentation, device=machine.device)
        self.route = Route(folder / "route", None)
        network = create(teacher, size=size, outputs=self.outputs)
        _settle(network, next(self.loader.epoch(0)).images.cpu())
        self.route.spec = network.spec
        self.route.record(network, 1, 1.0, 0.1, "last", {})

    def labels(self) -> Method:
        """Training from labels."""
        torch.manual_seed(0)
        return Labels(create(self.student, size=self.size, outputs=self.outputs), self.head, self.classes)

    def distillation(self, kind: Any) -> Method:
        """Following the teacher."""
        torch.manual_seed(0)
        anchors = Anchors(self.route, self.loader, self.images.fingerprint(), kind, self.machine)
        network = create(self.student, size=self.size, outputs=self.outputs)
        sample = anchors.teacher([0]).sample()
        return Distillation(network, self.mixed, anchors.teacher, sample, self.head, self.loader)

    def build_cache(self) -> float:
        """Seconds to write the slots of the first epoch, divided by their number."""
        anchors = Anchors(self.route, self.loader, self.images.fingerprint(), "float16", self.machine)
        slots = [0, 1] if self.loader.augmentation.key == "flip" else [0]
        begun = time.perf_counter()
        for slot in slots:
            anchors.outputs(0, slot)
        return (time.perf_counter() - begun) / len(slots)

    def epoch(self, method: Method) -> float:
        """Seconds of one epoch in the training loop, checkpoint included."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            schedule = ScheduleRecipe(epochs=1, batch=self.batch)
            trainer = Trainer(Run(Path(folder)), method, lambda number: Stage(1, (0,)), self.loader, schedule,
                              MachineRecipe())
            begun = time.perf_counter()
            trainer.fit()
            return time.perf_counter() - begun

    def peer(self, checkout: Path, teacher: str, student: str) -> float:
        """Seconds of one epoch of mdistiller's KD with its own networks and losses, as its trainer steps."""
        sys.path.insert(0, str(checkout))
        from mdistiller.distillers import KD
        from mdistiller.models import cifar_model_dict

        cfg = SimpleNamespace(KD=SimpleNamespace(TEMPERATURE=4, LOSS=SimpleNamespace(CE_WEIGHT=0.1, KD_WEIGHT=0.9)))
        nets = [cifar_model_dict[name][0](num_classes=self.classes) for name in (student, teacher)]
        method = KD(*nets, cfg).to(self.machine.device)
        method.train()
        optimizer = torch.optim.SGD(method.get_learnable_parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        batches = [batch.to(self.machine.device) for batch in self.loader.epoch(0)]
        ready = [(b.images.permute(0, 3, 1, 2).float().div(255).contiguous(), b.labels) for b in batches]
        begun = time.perf_counter()
        for images, labels in ready:
            optimizer.zero_grad()
            _, losses = method(image=images, target=labels, epoch=1)
            torch.stack([loss.mean() for loss in losses.values()]).sum().backward()
            optimizer.step()
        return time.perf_counter() - begun


def _settle(network: Network, images: torch.Tensor) -> None:
    """Give fresh batch norms the statistics of a batch; without any, a deep network's outputs grow out of float16."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network(network.inputs(images))


if __name__ == "__main__":
    main()
