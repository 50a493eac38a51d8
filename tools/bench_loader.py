"""Measure the speed of data loading: facekd's loader, torchvision's ImageFolder and bare decoders on the same crops.

    python tools/bench_loader.py --faces faces/train --json OUT.json > OUT.txt

It needs torchvision (pip install facekd[zoo]); other decoders are timed if they are installed.

The crops of a RecordIO set are written as an image folder. facekd streams the set without a cache in memory and mirrors
half of the images. Its batches are uint8, as in its training loop, where the device scales them to floats. ImageFolder
runs in a DataLoader with RandomHorizontalFlip, ToTensor and Normalize, and its batches are floats. To show this
difference, facekd is also timed with scaling to float32 on the CPU. Bare decoders read the same bytes from memory, in
threads, and discard the pixels.

The variants take turns, ``--repeat`` times, and the best of each counts; once with one worker (thread or process) each,
once with ``--workers``. There are two figures: images per second of wall clock time, and of processor time, that is per
core.
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

from facekd.data import cv2, prefetch
from facekd.data.face_set import FaceSet
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces
from facekd.io.files import write_json
from facekd.models.preprocessing import normalize_images
from facekd.utils.environment import hardware
from facekd.utils.progress import progress_bar

Work = Callable[[], object]
"""A function that reads all images once."""


def write_folder(faces: FaceSet, out: Path) -> None:
    """Write the stored bytes of every image as LABEL/NUMBER.jpg."""
    with progress_bar("write", len(faces)) as advance:
        for index, label in enumerate(faces.labels.tolist()):
            file = out / f"{label:06d}" / f"{index:07d}.jpg"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(faces.read(index))
            advance(1, "")


def exhaust(items: Iterable[object]) -> None:
    """Iterate over all items and discard them."""
    for _ in items:
        pass


def facekd_variants(faces: FaceSet, batch: int, workers: int) -> dict[str, Work]:
    """Return the loader of facekd, alone and with the scaling that a device does."""
    loader = Loader(faces, faces.pixels(0).shape[0], batch_size=batch, seed=0, augmentation=Flip(), decoded_cache_gib=0)

    def load() -> None:
        with mock.patch.object(prefetch, "MAX_THREADS", workers):
            exhaust(loader.iter_epoch(0))

    def load_and_scale() -> None:
        with mock.patch.object(prefetch, "MAX_THREADS", workers):
            exhaust(normalize_images(one_batch.images) for one_batch in loader.iter_epoch(0))

    return {"facekd": load, "facekd, scaled": load_and_scale}


def import_torchvision() -> tuple[Any, Any]:
    """Return the modules datasets and transforms of torchvision.

    They are pure Python, and work even if the compiled operators of torchvision need another version of torch.
    """
    try:
        from torchvision import datasets, transforms
    except RuntimeError:
        sys.modules["torchvision._meta_registrations"] = ModuleType("empty")
        from torchvision import datasets, transforms
    return datasets, transforms


def image_folder(folder: Path, batch: int, workers: int) -> Work:
    """Return the standard loader of a classifier."""
    datasets, transforms = import_torchvision()
    steps = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    images = datasets.ImageFolder(folder, transforms.Compose(steps))
    options = {"batch_size": batch, "shuffle": True, "num_workers": workers, "drop_last": True}
    return lambda: exhaust(torch.utils.data.DataLoader(images, **options))


def decoders() -> dict[str, Callable[[bytes], object]]:
    """Return the installed decoders, which decode JPEG bytes to RGB, by name."""
    installed: dict[str, Callable[[bytes], object]] = {
        "cv2": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    }
    with suppress(ImportError):
        from simplejpeg import decode_jpeg

        installed["simplejpeg"] = decode_jpeg
    with suppress(ImportError, RuntimeError):  # its native library may be missing
        from turbojpeg import TJPF_RGB, TurboJPEG

        turbo = TurboJPEG()
        installed["PyTurboJPEG"] = lambda data: turbo.decode(data, TJPF_RGB)
    with suppress(AttributeError):  # its operators may need another torch
        decode = torch.ops.image.decode_jpeg

        def decode_bytes(data: bytes) -> object:
            return decode(torch.frombuffer(bytearray(data), dtype=torch.uint8), 3, False)

        installed["torchvision.io"] = decode_bytes
    return installed


def bare_decoder(decode: Callable[[bytes], object], contents: list[bytes], workers: int) -> Work:
    """Return a decoder alone, in threads."""

    def decode_every_nth(first: int) -> None:
        for data in contents[first::workers]:
            decode(data)

    def work() -> None:
        with ThreadPoolExecutor(workers) as pool:
            exhaust(pool.map(decode_every_nth, range(workers)))

    return work


def processor_seconds() -> float:
    """Return the seconds of processor time of this process and of its children that ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(variants: dict[str, Work], images: int, repeat: int) -> dict[str, dict[str, float]]:
    """Return the best images per second of each variant, by wall clock and processor time; the variants take turns."""
    best = {name: {"clock": 0.0, "core": 0.0} for name in variants}
    for _ in range(repeat):
        for name, work in variants.items():
            start = time.perf_counter()
            start_core = processor_seconds()
            work()
            rate = {"clock": images / (time.perf_counter() - start),
                    "core": images / (processor_seconds() - start_core)}
            best[name] = {clock: max(best[name][clock], round(rate[clock], 1)) for clock in rate}
    return best


def describe(report: dict[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"{report['images']:,} crops of {report['bytes']:,} bytes on average, batches of {report['batch']}, "
             f"{report['hardware']}; {', '.join(' '.join(pair) for pair in report['versions'].items())}"]
    for workers, rates in report["rates"].items():
        decoder = max((name for name in rates if name.startswith("bare")), key=lambda name: rates[name]["core"])
        title = f"images per second, {workers} worker{'s' if workers != '1' else ''} each"
        lines += ["", f"{title:<34}{'by the clock':>12}{'of a core':>11}{'/ ImageFolder':>15}{'/ bare cv2':>12}"
                      f"{'/ ' + decoder:>18}"]
        for name, rate in rates.items():
            ratios = [rate["clock"] / rates["ImageFolder"]["clock"],
                      *(rate["core"] / rates[other]["core"] for other in ("bare cv2", decoder))]
            lines.append(f"{name:<34}{rate['clock']:12,.0f}{rate['core']:11,.0f}"
                         f"{ratios[0]:15.2f}{ratios[1]:12.2f}{ratios[2]:18.2f}")
    missing = [name for name in ("simplejpeg", "PyTurboJPEG", "torchvision.io") if f"bare {name}" not in rates]
    return "\n".join([*lines, "", "/ ImageFolder is by the clock, / bare decoders of a core; "
                      f"not installed: {', '.join(missing) or 'none'}"])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="a RecordIO set of aligned JPEG crops")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    faces = open_faces(args.faces)
    images = len(faces) // args.batch * args.batch
    contents = [faces.read(index) for index in range(images)]
    packages = ("torch", "torchvision", "pillow", "opencv-python", "simplejpeg", "PyTurboJPEG")
    known = {package.metadata["Name"].lower(): package.version for package in distributions()}
    report: dict[str, Any] = {
        "hardware": hardware()["label"], "images": images, "batch": args.batch,
        "bytes": round(sum(map(len, contents)) / images), "rates": {},
        "versions": {name: known[name.lower()] for name in packages if name.lower() in known},
    }
    with tempfile.TemporaryDirectory() as folder:
        write_folder(faces, Path(folder))
        for workers in sorted({1, args.workers}):
            variants = facekd_variants(faces, args.batch, workers)
            variants["ImageFolder"] = image_folder(Path(folder), args.batch, workers)
            variants |= {f"bare {name}": bare_decoder(decode, contents, workers) for name, decode in decoders().items()}
            report["rates"][str(workers)] = measure(variants, images, args.repeat)
            if args.json:
                write_json(Path(args.json), report)
    print(describe(report))


if __name__ == "__main__":
    main()
