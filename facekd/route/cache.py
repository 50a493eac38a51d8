"""The teacher cache: an anchor's outputs for the versions of an image set, computed once and memory-mapped.

One file holds one slot, the version of every image that an epoch shows (or, for flips, one of the two there are).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from facekd import files
from facekd.answers import Answer
from facekd.data.imageset import Fingerprint
from facekd.data.loader import Batch, Loader
from facekd.errors import RouteError
from facekd.progress import progress
from facekd.route.teacher import LiveTeacher, Teacher

Kind = Literal["float16", "float32"]
Values = NDArray[np.floating]


class CachedTeacher(Teacher):
    """Looks an anchor's outputs up by (image, slot); equal to the live teacher within the kind's rounding.

    Args:
        dimension: length of the outputs.
        slot_file: gives the file of a slot, made if need be; asked once for each.
    """

    def __init__(self, dimension: int, slot_file: Callable[[int], Path]) -> None:
        self.dimension, self._slot_file = dimension, slot_file
        self._slots: dict[int, Values] = {}

    def answer(self, batch: Batch) -> Answer:
        """See `Teacher.answer`."""
        index, slots = batch.index.numpy(), batch.slot.numpy()
        outputs = np.empty((len(index), self.dimension), np.float32)
        for slot in np.unique(slots).tolist():
            if slot not in self._slots:
                self._slots[slot] = read_slot(self._slot_file(slot))
            rows = slots == slot
            outputs[rows] = self._slots[slot][index[rows]]
        return Answer(torch.from_numpy(outputs).to(batch.images.device))


def slot_file(folder: Path, anchor: str, fingerprint: Fingerprint, versions: str, slot: int, kind: Kind) -> Path:
    """Where a slot of a cache lies.

    Args:
        folder: the cache folder of a route.
        anchor: sha256 of the anchor's file.
        fingerprint: of the image set.
        versions: key of the augmentation.
        slot: number of the slot.
        kind: float16 or float32.
    """
    return folder / f"{anchor[:16]}-{fingerprint.content[:16]}-{versions}-{slot:03d}-{kind}.npy"


def read_slot(file: Path) -> Values:
    """Memory-map a slot: [images, dimension].

    Raises:
        RouteError: the file is damaged.
    """
    try:
        values: Values = np.load(file, mmap_mode="r", allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise RouteError(f"the teacher cache {file} is damaged ({error}); delete it, it is made again") from error
    return values


def write_slot(teacher: LiveTeacher, loader: Loader, slot: int, file: Path, kind: Kind, device: torch.device) -> None:
    """Compute an anchor's outputs for one version of every image: [images, dimension].

    Args:
        teacher: the live anchor.
        loader: of the image set, at the teacher's size.
        slot: which versions.
        file: where to write, see `slot_file`.
        kind: type of the numbers; float16 halves the file and rounds by 5e-4 relative.
        device: where the teacher runs.

    Raises:
        RouteError: an output does not fit the type (an untrained or diverged anchor).
        SetupError: the disk is full.
    """
    images = len(loader.images)
    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False,
            "shape": (images, teacher.dimension)}
    with (
        files.atomic(file) as temporary, temporary.open("wb") as handle,  # a full disk kills a writer of memory maps
        progress(f"teacher cache {slot}", images) as advance,
    ):
        np.lib.format.write_array_header_1_0(handle, head)
        for batch in loader.slot(slot):
            outputs = teacher.answer(batch.to(device)).outputs.cpu().numpy().astype(kind)
            if not np.isfinite(outputs).all():
                raise RouteError(
                    f"an anchor's outputs do not fit {kind} (cache {file.name}); "
                    "use cache=float32, or plan without this point"
                )
            handle.write(outputs.tobytes())
            advance(len(batch.index), "")
