"""Embeddings of many images, computed in one go and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from facekd.data.feature_set import Features
from facekd.data.prefetch import ahead
from facekd.data.transforms import Crops, crop_of
from facekd.errors import DataError
from facekd.models.embedder import Embedder, directions
from facekd.utils.progress import progress


def embeddings(
    embedder: Embedder,
    read: Callable[[int], bytes],
    where: Callable[[int], str],
    count: int,
    flip: bool = True,
    batch: int = 64,
    start: int = 0,
) -> Iterator[Features]:
    """Embed encoded crops, decoding them in threads ahead of the model.

    Args:
        embedder: the model; crops are brought to its size.
        read: gives the encoded bytes of an image; called from several threads.
        where: how a person finds an image, for errors.
        count: number of images.
        flip: sum the embeddings of image and mirror.
        batch: images the model sees at once.
        start: the first image that is wanted.

    Yields:
        float32 [batch, dimension], not normalised; the last one may be shorter.

    Raises:
        DataError: an image does not decode or is no square crop, or an embedding is zero or not finite.
    """

    def crop(item: int) -> Crops:
        return crop_of(read(start + item), embedder.size, where(start + item))

    done = start
    for crops in ahead(crop, count - start, batch):
        rows = embedder.raw(np.stack(crops), flip)
        norms = np.linalg.norm(rows, axis=1)
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 1e-12)))
        if len(bad):
            raise DataError(
                f"the embedding by {embedder.name} of {where(done + int(bad[0]))} is zero or not finite, as are "
                f"{len(bad) - 1} others of the {len(rows)} beside it; is the image blank, or the model damaged?"
            )
        yield rows
        done += len(rows)


def embed_images(
    embedder: Embedder,
    read: Callable[[int], bytes],
    where: Callable[[int], str],
    count: int,
    flip: bool = True,
    batch: int = 64,
) -> Features:
    """Embed encoded crops, with a progress bar; arguments and errors as `embeddings`.

    Returns:
        float32 [count, dimension], rows of unit length.
    """
    features = np.empty((count, embedder.dimension), np.float32)
    done = 0
    with progress("embed", count) as advance:
        for rows in embeddings(embedder, read, where, count, flip, batch):
            features[done : done + len(rows)] = directions(rows)
            done += len(rows)
            advance(len(rows), "")
    return features
