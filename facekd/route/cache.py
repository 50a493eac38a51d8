"""The teacher cache: the outputs of an anchor for every image of a set, computed once and memory-mapped.

One file holds one slot: the outputs for the augmented version of every image that an epoch shows (for flips, one of the
two versions that exist). ``FILE.sha256`` beside it holds its checksum.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.data.image_set import DatasetFingerprint
from facekd.data.loading.loader import Batch, Loader
from facekd.distributed import barrier, shard_range
from facekd.errors import RouteError
from facekd.io import files
from facekd.io.arrays import open_npy
from facekd.route.teacher import LiveTeacher, Teacher
from facekd.types import ModelOutput
from facekd.utils.progress import progress_bar

CacheDtype = Literal["float16", "float32"]
CachedOutputs = NDArray[np.floating]


class CachedTeacher(Teacher):
    """Looks up the outputs of an anchor by (image, slot); equal to the live teacher within the rounding of the dtype.

    Args:
        dimension: the length of the outputs.
        slot_path: maps a slot to its file, which it writes if necessary; called once for each slot.
        sibling_slots: maps a slot to the slots that are opened together with it. All processes thus call ``slot_path``
            at the same step, whichever images their shard of the batch holds.
    """

    def __init__(self, dimension: int, slot_path: Callable[[int], Path],
                 sibling_slots: Callable[[int], Sequence[int]] = lambda slot: (slot,)) -> None:
        self.dimension = dimension
        self._slot_path = slot_path
        self._sibling_slots = sibling_slots
        self._slots: dict[int, CachedOutputs] = {}

    def forward(self, batch: Batch) -> ModelOutput:
        """See `Teacher.forward`."""
        index = batch.index.numpy()
        slots = batch.cache_slot.numpy()
        outputs = np.empty((len(index), self.dimension), np.float32)
        for slot in np.unique(slots).tolist():
            if slot not in self._slots:
                for sibling in self._sibling_slots(slot):
                    self._slots[sibling] = read_slot(self._slot_path(sibling))
            rows = slots == slot
            outputs[rows] = self._slots[slot][index[rows]]
        return ModelOutput(torch.from_numpy(outputs).to(batch.images.device))


def slot_path(folder: Path, anchor: str, fingerprint: DatasetFingerprint, augmentation_key: str, slot: int,
              dtype: CacheDtype) -> Path:
    """Return the path of a slot; the name contains everything that the content depends on.

    Args:
        folder: the cache folder of a route.
        anchor: the SHA-256 of the anchor's file.
        fingerprint: the fingerprint of the image set.
        augmentation_key: the key of the augmentation.
        slot: the number of the slot.
        dtype: the type of the stored outputs.
    """
    return folder / f"{anchor[:16]}-{fingerprint.content[:16]}-{augmentation_key}-{slot:03d}-{dtype}.npy"


def read_slot(file: Path) -> CachedOutputs:
    """Memory-map a slot: [images, dimension].

    Raises:
        RouteError: the file is damaged.
    """
    outputs: CachedOutputs = open_npy(file, RouteError, remedy="delete it, it is made again")
    return outputs


def is_intact(file: Path) -> bool:
    """Return whether a slot exists and has the checksum it was written with; reads the whole file."""
    try:
        return files.sha256(file) == checksum_file(file).read_text(encoding="ascii").split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return False


def checksum_file(file: Path) -> Path:
    """Return the file with the checksum of a slot, as ``sha256sum`` writes it."""
    return file.with_name(f"{file.name}.sha256")


def write_slot(teacher: LiveTeacher, loader: Loader, slot: int, file: Path, dtype: CacheDtype, device: torch.device
               ) -> None:
    """Compute the outputs of an anchor for one augmented version of every image: [images, dimension].

    If several processes share the images of the loader, all of them call this function, and each computes its shard.

    Args:
        teacher: the live anchor.
        loader: the loader of the image set, at the teacher's input size.
        slot: the number of the slot.
        file: the file to write, see `slot_path`.
        dtype: the type of the stored outputs; float16 halves the file and rounds by a relative 5e-4.
        device: the device of the teacher.

    Raises:
        RouteError: an output does not fit the type, because the anchor is untrained or has diverged.
        SetupError: the disk is full.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False,
              "shape": (len(loader.images), teacher.dimension)}
    rank = loader.rank
    world_size = loader.world_size
    shard_files = [file, *(file.with_name(f"{file.name}.part{other}") for other in range(1, world_size))]
    with files.atomic_write(shard_files[rank]) as temporary, temporary.open("wb") as handle:
        # Rows are appended to an ordinary file: on a full disk, a write to a memory map kills the process.
        if rank == 0:
            np.lib.format.write_array_header_1_0(handle, header)
        _write_rows(teacher, loader, slot, handle, dtype, device)
        if rank == 0:
            barrier()  # until the other processes have written their shards
            for shard_file in shard_files[1:]:
                with shard_file.open("rb") as shard:
                    shutil.copyfileobj(shard, handle)
                shard_file.unlink()
            handle.flush()
            # Written before the slot appears: a slot without its checksum is made again.
            files.write_text(checksum_file(file), f"{files.sha256(temporary)}  {file.name}\n")
    if rank:
        barrier()


def _write_rows(teacher: LiveTeacher, loader: Loader, slot: int, handle: BinaryIO, dtype: CacheDtype,
                device: torch.device) -> None:
    shard = shard_range(len(loader.images), loader.rank, loader.world_size)
    with progress_bar(f"teacher cache {slot}", len(shard)) as advance:
        for batch in loader.iter_slot(slot):
            outputs = teacher.forward(batch.to(device)).outputs.cpu().numpy().astype(dtype)
            if not np.isfinite(outputs).all():
                raise RouteError(
                    f"an anchor's outputs do not fit {dtype}; use teacher_cache=float32, or plan without this point"
                )
            handle.write(outputs.tobytes())
            advance(len(batch.index), "")
