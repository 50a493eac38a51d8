"""Time the caching of an ONNX teacher's answers against bare ONNX Runtime on the same file.

    python tools/bench_teacher_cache.py TEACHER.onnx CROPS OUT.csv [--images 12000] [--rounds 4]

CROPS is a face set. The cache is the one that ``facekd distill`` makes of an imported route: the teacher is loaded,
crops are decoded, embedded and written with their checksum, in float16. Bare ONNX Runtime runs the graph as the file
has it, 64 crops at a time, with its default number of threads; the crops are decoded and scaled before its clock
starts. Each round takes its own images, and both sides take turns in who begins. Times are per crop; the ratio is that
of the sums, and its interval is the bootstrap over rounds.
"""

import argparse
import csv
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from facekd.config.common import MachineRecipe
from facekd.data.face_set import FaceSet, FaceSubset
from facekd.data.loading.augmentation import NoAugmentation
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces
from facekd.data.transforms import decode_crop
from facekd.io import files
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.route.import_checkpoints import import_route
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine
from facekd.utils.environment import hardware
from facekd.utils.progress import progress_bar

BATCH = 64
HEADER = ["teacher", "what", "crops", "ms a crop", "of bare ONNX Runtime [95 %]"]


def cache(route: Route, faces: FaceSet, size: int) -> float:
    """Make the cache of the route's only point for all images, and return the seconds."""
    fingerprint = faces.fingerprint()
    start = time.perf_counter()
    loader = Loader(faces, size, batch_size=min(2 * BATCH, len(faces)), seed=0, augmentation=NoAugmentation())
    AnchorTeachers(route, loader, fingerprint, "float16", Machine(MachineRecipe(device="cpu"))).outputs(0)
    return time.perf_counter() - start


def run_bare(session: ort.InferenceSession, embedder: OnnxEmbedder, faces: FaceSet) -> float:
    """Run the graph on all images, and return the seconds that ONNX Runtime alone takes."""
    seconds = 0.0
    for start in range(0, len(faces), BATCH):
        rows = range(start, min(start + BATCH, len(faces)))
        crops = np.stack([decode_crop(faces.read(row), embedder.size, faces.location(row)) for row in rows])
        pixels = embedder.preprocess(crops)
        begin = time.perf_counter()
        session.run([embedder.interface.output], {embedder.interface.input: pixels})
        seconds += time.perf_counter() - begin
    return seconds


def measure(teacher: Path, faces: FaceSet, images: int, rounds: int, folder: Path) -> np.ndarray:
    """Return the seconds of each round: float64 [rounds, 2], the cache and bare ONNX Runtime."""
    route = import_route([teacher], folder / "route")
    embedder = OnnxEmbedder(teacher, as_written=True)
    session = ort.InferenceSession(str(teacher), providers=["CPUExecutionProvider"])
    order = np.random.default_rng(0).permutation(len(faces))[:images]
    times = []
    with progress_bar("rounds", rounds) as advance:
        for number, part in enumerate(np.array_split(order, rounds)):
            subset = FaceSubset(faces, np.sort(part))
            sides = [lambda subset=subset: cache(route, subset, embedder.size),
                     lambda subset=subset: run_bare(session, embedder, subset)]
            turn = [0, 1] if number % 2 == 0 else [1, 0]
            seconds = {side: sides[side]() for side in turn}
            times.append([seconds[0], seconds[1]])
            advance(1, "")
    return np.array(times)


def table(teacher: str, times: np.ndarray, images: int) -> str:
    """Return the figures as CSV."""
    rounds = len(times)
    drawn = times[np.random.default_rng(0).integers(0, rounds, (10_000, rounds))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    cached, bare = times.sum(axis=0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerow([teacher, f"bare ONNX Runtime {ort.__version__}, batch of {BATCH}, crops ready", f"{images:,}",
                     f"{1e3 * bare / images:.2f}", "1"])
    writer.writerow([teacher, "teacher cache of facekd, with decoding", f"{images:,}",
                     f"{1e3 * cached / images:.2f}", f"{cached / bare:.2f} [{low:.2f}, {high:.2f}]"])
    return text.getvalue()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("crops", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    faces = open_faces(args.crops)
    images = min(args.images, len(faces))
    with tempfile.TemporaryDirectory() as folder:
        times = measure(args.teacher, faces, images, args.rounds, Path(folder))
    text = table(args.teacher.name, times, images)
    files.write_text(args.out, text)
    print(f"{text}{hardware()['label']}")


if __name__ == "__main__":
    main()
