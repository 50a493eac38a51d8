"""How fast training images arrive: facekd's loader, torchvision's ImageFolder and bare decoders, on the same crops.

    python tools/bench_loader.py --faces faces/train --json OUT.json > OUT.txt

It wants torchvision (pip install facekd[zoo]); other decoders are timed where they are installed.

The crops of a RecordIO set are written out as an image folder. facekd streams the set (nothing kept in memory) and
mirrors half of the images: uint8 batches, as its training loop gets them; scaling to floats is then the device's work.
ImageFolder runs in a DataLoader with RandomHorizontalFlip, ToTensor and Normalize, and gives floats. So that this
difference can be judged, facekd is timed once more with scaling to float32 on the CPU. Bare decoders take the same
bytes from memory, in threads, and throw the pixels away.

Ways take turns ``--repeat`` times, the best of each counts; once with one worker (thread or process) each, once with
``--workers``. Two figures each: images a second by the clock, and of processor time, that is of one core.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch

from facekd.data import cv2
from facekd.data import prefetch as ahead
from facekd.data.face_set import FaceSet
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces
from facekd.models.preprocessing import to_input
from facekd.run import hardware
from facekd.utils.files import write_json
from facekd.utils.progress import progress

Work = Callable[[], object]
"""Goes through all images once."""


def write_folder(faces: FaceSet, out: Path) -> None:
    """Write every image as it is: PERSON/NUMBER.jpg, PERSON being the label."""
    with progress("write", len(faces)) as advance:
        for index, label in enumerate(faces.labels.tolist()):
            file = out / f"{label:06d}" / f"{index:07d}.jpg"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(faces.read(index))
            advance(1, "")


def exhaust(items: Iterable[object]) -> None:
    """Take all and keep none."""
    for _ in items:
        pass


def ours(faces: FaceSet, batch: int, workers: int) -> dict[str, Work]:
    """Our loader, alone and with what a device does to its batches."""
    loader = Loader(faces, faces.pixels(0).shape[0], batch, 0, Flip(), memory=0)

    def plain() -> None:
        with mock.patch.object(ahead, "THREADS", workers):
            exhaust(loader.epoch(0))

    def scaled() -> None:
        with mock.patch.object(ahead, "THREADS", workers):
            exhaust(to_input(step.images) for step in loader.epoch(0))

    return {"facekd": plain, "facekd, scaled": scaled}


def torchvision_parts() -> tuple[Any, Any]:
    """Its datasets and transforms, in Python; they work where its compiled operators want another torch, too."""
    try:
        from torchvision import datasets, transforms
    except RuntimeError:
        sys.modules["torchvision._meta_registrations"] = ModuleType("nothing")
        from torchvision import datasets, transforms
    return datasets, transforms


def imagefolder(folder: Path, batch: int, workers: int) -> Work:
    """The usual loader of a classifier."""
    datasets, transforms = torchvision_parts()
    steps = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    images = datasets.ImageFolder(folder, transforms.Compose(steps))
    options = {"batch_size": batch, "shuffle": True, "num_workers": workers, "drop_last": True}
    return lambda: exhaust(torch.utils.data.DataLoader(images, **options))


def decoders() -> dict[str, Callable[[bytes], object]]:
    """Those that are installed, each from bytes to RGB."""
    found: dict[str, Callable[[bytes], object]] = {
        "cv2": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    }
    with suppress(ImportError):
        from simplejpeg import decode_jpeg

        found["simplejpeg"] = decode_jpeg
    with suppress(ImportError, RuntimeError):  # its library may be absent
        from turbojpeg import TJPF_RGB, TurboJPEG

        turbo = TurboJPEG()
        found["PyTurboJPEG"] = lambda data: turbo.decode(data, TJPF_RGB)
    with suppress(AttributeError):  # its operators may want another torch
        decode = torch.ops.image.decode_jpeg
        found["torchvision.io"] = lambda data: decode(torch.frombuffer(bytearray(data), dtype=torch.uint8), 3, False)
    return found


def bare(decode: Callable[[bytes], object], contents: list[bytes], workers: int) -> Work:
    """A decoder alone, in threads."""

    def share(first: int) -> None:
        for data in contents[first::workers]:
            decode(data)

    def work() -> None:
        with ThreadPoolExecutor(workers) as pool:
            exhaust(pool.map(share, range(workers)))

    return work


def spent() -> float:
    """Seconds of processor time, of this process and of children that ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(ways: dict[str, Work], images: int, repeat: int) -> dict[str, dict[str, float]]:
    """Let all ways take turns: the best images a second of each, by the clock and of processor time."""
    best = {way: {"clock": 0.0, "core": 0.0} for way in ways}
    for _ in range(repeat):
        for way, work in ways.items():
            begun, before = time.perf_counter(), spent()
            work()
            rate = {"clock": images / (time.perf_counter() - begun), "core": images / (spent() - before)}
            best[way] = {clock: max(best[way][clock], round(rate[clock], 1)) for clock in rate}
    return best


def describe(report: dict[str, Any]) -> str:
    """The figures as lines to read."""
    lines = [f"{report['images']:,} crops of {report['bytes']:,} bytes on average, batches of {report['batch']}, "
             f"{report['hardware']}; {', '.join(' '.join(pair) for pair in report['versions'].items())}"]
    for workers, rates in report["rates"].items():
        decoder = max((way for way in rates if way.startswith("bare")), key=lambda way: rates[way]["core"])
        title = f"images a second, {workers} worker{'s' if workers != '1' else ''} each"
        lines += ["", f"{title:<34}{'by the clock':>12}{'of a core':>11}{'/ ImageFolder':>15}{'/ bare cv2':>12}"
                      f"{'/ ' + decoder:>18}"]
        for way, rate in rates.items():
            over = [rate["clock"] / rates["ImageFolder"]["clock"],
                    *(rate["core"] / rates[other]["core"] for other in ("bare cv2", decoder))]
            lines.append(f"{way:<34}{rate['clock']:12,.0f}{rate['core']:11,.0f}{over[0]:15.2f}{over[1]:12.2f}{over[2]:18.2f}")
    absent = [name for name in ("simplejpeg", "PyTurboJPEG", "torchvision.io") if f"bare {name}" not in rates]
    return "\n".join([*lines, "", "/ ImageFolder is by the clock, / bare decoders of a core; "
                      f"not there to be timed: {', '.join(absent) or 'none'}"])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="a RecordIO set of aligned JPEG crops")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", help="write the figures to this file")
    a = parser.parse_args()
    torch.set_num_threads(1)
    faces = open_faces(a.faces)
    images = len(faces) // a.batch * a.batch
    contents = [faces.read(index) for index in range(images)]
    packages = ("torch", "torchvision", "pillow", "opencv-python", "simplejpeg", "PyTurboJPEG")
    known = {one.metadata["Name"].lower(): one.version for one in distributions()}
    report: dict[str, Any] = {
        "hardware": hardware()["label"], "images": images, "batch": a.batch,
        "bytes": round(sum(map(len, contents)) / images), "rates": {},
        "versions": {name: known[name.lower()] for name in packages if name.lower() in known},
    }
    with tempfile.TemporaryDirectory() as folder:
        write_folder(faces, Path(folder))
        for workers in sorted({1, a.workers}):
            ways = ours(faces, a.batch, workers)
            ways["ImageFolder"] = imagefolder(Path(folder), a.batch, workers)
            ways |= {f"bare {name}": bare(decode, contents, workers) for name, decode in decoders().items()}
            report["rates"][str(workers)] = measure(ways, images, a.repeat)
            if a.json:
                write_json(Path(a.json), report)
    print(describe(report))


if __name__ == "__main__":
    main()
