"""The teacher cache: an anchor's embeddings of both views of a face set, computed once and memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from facekd import files
from facekd.data.faceset import Fingerprint
from facekd.data.loader import Batch, Loader
from facekd.errors import RouteError
from facekd.progress import progress
from facekd.route.teacher import LiveTeacher, Teacher

Kind = Literal["float16", "float32"]


class CachedTeacher(Teacher):
    """Looks an anchor's embeddings up by (image, mirrored); equal to the live teacher within the kind's rounding.

    Args:
        file: written by `build_cache`.

    Raises:
        RouteError: the file is damaged.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._values = np.load(file, mmap_mode="r", allow_pickle=False)
        except (EOFError, ValueError) as error:
            raise RouteError(f"the teacher cache {file} is damaged ({error}); delete it, it is made again") from error
        self.dimension = int(self._values.shape[2])

    def embeddings(self, batch: Batch) -> Tensor:
        """See `Teacher.embeddings`."""
        view, index = batch.flipped.cpu().numpy().astype(np.intp), batch.index.cpu().numpy()
        return torch.from_numpy(self._values[view, index].astype(np.float32)).to(batch.images.device)


def cache_file(folder: Path, anchor: str, fingerprint: Fingerprint, kind: Kind) -> Path:
    """Where a cache lies.

    Args:
        folder: the cache folder of a route.
        anchor: sha256 of the anchor's file.
        fingerprint: of the face set.
        kind: float16 or float32.
    """
    return folder / f"{anchor[:16]}-{fingerprint.content[:16]}-flip-{kind}.npy"


def build_cache(teacher: LiveTeacher, loader: Loader, file: Path, kind: Kind, device: torch.device) -> None:
    """Compute an anchor's embeddings of every image and its mirror, unless ``file`` holds them already.

    The file is an array [2, images, dimension]: view 0 as it is, view 1 mirrored.

    Args:
        teacher: the live anchor.
        loader: of the face set, at the teacher's crop size.
        file: where to write, see `cache_file`.
        kind: type of the numbers; float16 halves the file and rounds by 5e-4 relative.
        device: where the teacher runs.

    Raises:
        RouteError: an embedding does not fit the type (an untrained or diverged anchor).
        SetupError: the disk is full.
    """
    if file.exists():
        return
    shape = (2, len(loader.faces), teacher.dimension)
    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
    with (
        files.atomic(file) as temporary, temporary.open("wb") as handle,  # a full disk kills a writer of memory maps
        progress("teacher cache", 2 * len(loader.faces)) as advance,
    ):
        np.lib.format.write_array_header_1_0(handle, head)
        for batch in loader.every_view():
            embeddings = teacher.embeddings(batch.to(device)).cpu().numpy().astype(kind)
            if not np.isfinite(embeddings).all():
                raise RouteError(
                    f"an anchor's embeddings do not fit {kind} (cache {file.name}); "
                    "use cache=float32, or plan without this point"
                )
            handle.write(embeddings.tobytes())  # every_view goes through the array in its own order
            advance(len(batch.index), "")
