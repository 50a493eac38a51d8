"""The teacher cache: an anchor's outputs for the versions of an image set, computed once and memory-mapped.

One file holds one slot, the version of every image that an epoch shows (or, for flips, one of the two there are).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from facekd import distributed as ranks
from facekd.data.image_set import Fingerprint
from facekd.data.loading.loader import Batch, Loader
from facekd.distributed import part
from facekd.errors import RouteError
from facekd.route.teacher import LiveTeacher, Teacher
from facekd.types import Answer
from facekd.utils import files
from facekd.utils.progress import progress

Kind = Literal["float16", "float32"]
Values = NDArray[np.floating]


class CachedTeacher(Teacher):
    """Looks an anchor's outputs up by (image, slot); equal to the live teacher within the kind's rounding.

    Args:
        dimension: length of the outputs.
        slot_file: gives the file of a slot, made if need be; asked once for each.
        beside: the slots that are asked for together with one, see `Augmentation.beside`; so that all processes ask at
            the same time, whatever is in their part of a batch.
    """

    def __init__(self, dimension: int, slot_file: Callable[[int], Path],
                 beside: Callable[[int], Sequence[int]] = lambda slot: (slot,)) -> None:
        self.dimension, self._slot_file, self._beside = dimension, slot_file, beside
        self._slots: dict[int, Values] = {}

    def answer(self, batch: Batch) -> Answer:
        """See `Teacher.answer`."""
        index, slots = batch.index.numpy(), batch.slot.numpy()
        outputs = np.empty((len(index), self.dimension), np.float32)
        for slot in np.unique(slots).tolist():
            if slot not in self._slots:
                self._slots |= {one: read_slot(self._slot_file(one)) for one in self._beside(slot)}
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

    Where processes share the loader's images, all call this together, and each computes its part.

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
    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False,
            "shape": (len(loader.images), teacher.dimension)}
    rank, world = loader.place
    parts = [file, *(file.with_name(f"{file.name}.part{other}") for other in range(1, world))]
    with files.atomic(parts[rank]) as temporary, temporary.open("wb") as handle:
        # A full disk kills a writer of memory maps, so rows are appended.
        if rank == 0:
            np.lib.format.write_array_header_1_0(handle, head)
        _write_rows(teacher, loader, slot, handle, kind, device)
        if rank == 0:
            ranks.wait()
            for other in parts[1:]:
                with other.open("rb") as rows:
                    shutil.copyfileobj(rows, handle)
                other.unlink()
    if rank:
        ranks.wait()


def _write_rows(teacher: LiveTeacher, loader: Loader, slot: int, handle: BinaryIO, kind: Kind, device: torch.device
                ) -> None:
    own = part(len(loader.images), *loader.place)
    with progress(f"teacher cache {slot}", len(own)) as advance:
        for batch in loader.slot(slot):
            outputs = teacher.answer(batch.to(device)).outputs.cpu().numpy().astype(kind)
            if not np.isfinite(outputs).all():
                raise RouteError(
                    f"an anchor's outputs do not fit {kind}; use cache=float32, or plan without this point"
                )
            handle.write(outputs.tobytes())
            advance(len(batch.index), "")
