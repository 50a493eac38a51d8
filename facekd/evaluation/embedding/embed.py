"""Embeddings of encoded images, as a stream of batches or as one array in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from facekd import distributed
from facekd.data.feature_set import Features, rows_without_direction
from facekd.data.prefetch import prefetch
from facekd.data.transforms import Crops, decode_crop
from facekd.errors import DataError
from facekd.models.embedder import Embedder
from facekd.text import path_text, shorten
from facekd.utils.functional import l2_normalize_rows
from facekd.utils.progress import progress_bar


class EncodedImages(Protocol):
    """Encoded images in a fixed order, such as a `FaceSet`; safe to read from several threads."""

    def __len__(self) -> int:
        """Return the number of images."""

    def read(self, index: int) -> bytes:
        """Return the encoded bytes of image ``index``.

        Raises:
            DataError: the image cannot be read.
        """

    def location(self, index: int) -> str:
        """Return the file or record of image ``index``, for error messages."""


def embed_batches(
    embedder: Embedder, images: EncodedImages, flip: bool = True, batch_size: int = 64, start: int = 0,
    stop: int | None = None,
) -> Iterator[Features]:
    """Embed images while threads decode the next ones.

    Args:
        embedder: the model; crops are scaled to its input size.
        images: square crops.
        flip: whether to sum the embeddings of image and mirror image.
        batch_size: images that the model processes at once.
        start: index of the first image to embed.
        stop: index after the last image to embed; None for all.

    Yields:
        float32 [batch, dimension], not normalized; the last batch can be shorter.

    Raises:
        DataError: an image does not decode or is not a square crop, or an embedding is zero or not finite.
    """

    def crop(index: int) -> Crops:
        """Read and decode a crop."""
        return decode_crop(images.read(start + index), embedder.size, images.location(start + index))

    first = start
    for crops in prefetch(crop, (len(images) if stop is None else stop) - start, batch_size):
        rows = embedder.embed(np.stack(crops), flip, normalize=False)
        _check_embeddings(rows, embedder, images, first)
        yield rows
        first += len(rows)


def embed_images(embedder: Embedder, images: EncodedImages, flip: bool = True, batch_size: int = 64, *,
                 shared: bool = False, normalize: bool = True) -> Features:
    """Embed images into one array, with a progress bar; other arguments and errors as in `embed_batches`.

    Args:
        embedder: the model.
        images: square crops.
        flip: whether to sum the embeddings of image and mirror image.
        batch_size: images that the model processes at once.
        shared: whether all processes of a distributed run make this call and share the batches. The batches are those
            of one process, and so are the embeddings.
        normalize: whether to scale the rows to unit length; otherwise they keep the length that the model gave them.

    Returns:
        float32 [images, dimension].
    """
    rank, world_size = (distributed.get_rank(), distributed.get_world_size()) if shared else (0, 1)
    num_batches = -(-len(images) // batch_size)
    bounds = [min(num_batches * share // world_size * batch_size, len(images)) for share in range(world_size + 1)]
    features = np.empty((len(images), embedder.dimension), np.float32)
    first, last = bounds[rank : rank + 2]
    start = first
    with progress_bar("embed", last - first) as advance:
        for rows in embed_batches(embedder, images, flip, batch_size, first, last):
            stop = start + len(rows)
            features[start:stop] = l2_normalize_rows(rows) if normalize else rows
            advance(stop - start, "")
            start = stop
    if shared:
        for source in range(world_size):
            distributed.broadcast_array(features[bounds[source] : bounds[source + 1]], source)
    return features


def _check_embeddings(rows: Features, embedder: Embedder, images: EncodedImages, first: int) -> None:
    """Refuse embeddings that have no direction; ``first`` is the index of the image of row 0."""
    unusable = rows_without_direction(np.linalg.norm(rows, axis=1))
    if len(unusable):
        raise DataError(
            f"the embedding by {shorten(embedder.name, 60)} of {path_text(images.location(first + int(unusable[0])))} "
            f"is zero or not finite, as are {len(unusable) - 1} others of the {len(rows)} in its batch; is the image "
            "blank, or the model damaged?"
        )
