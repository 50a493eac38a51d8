"""``facekd embed``: the embeddings of a face set in one file."""

from __future__ import annotations

from pathlib import Path

from facekd.data.containers.path_list import ListedImages, read_path_list
from facekd.data.megaface.feature_tree import DEFAULT_SUFFIX, write_feature_tree
from facekd.data.opening import open_faces
from facekd.evaluation.embedding.extract import extract
from facekd.models.loading import load
from facekd.training.machine import resolve_device


def embed(folder: Path | str, out: Path | str, model: Path | str, *, flip: bool = True, device: str = "auto",
          image_list: Path | str | None = None, float16: bool = False, megaface_tree: Path | str | None = None,
          suffix: str | None = None) -> int:
    """Write the embeddings of a face set as ``.npy``, not L2-normalized; the same call continues after a kill.

    Args:
        folder: a face set, see `facekd.data.opening.open_faces`; with ``image_list`` the root folder of its paths.
        out: the file to write, float [images, dimension]; labels, names and provenance are written next to it, see
            `facekd.evaluation.embedding.extract.extract`.
        model: the model, see `facekd.models.loading.load`.
        flip: whether to add the embedding of the mirrored image.
        device: device of torch models.
        image_list: a text file with one image path per line; only these images are embedded, in this order.
        float16: whether to write float16 in place of float32.
        megaface_tree: root folder of MegaFace's tree of one feature file per image, which is written as well.
        suffix: suffix of the files of this tree after the image path; default ``_facekd.bin``.

    Returns:
        the number of images.

    Raises:
        DataError: the images cannot be used.
        ModelError: the model cannot be loaded.
        SetupError: the disk is full.
    """
    listed_paths = read_path_list(Path(image_list)) if image_list else None
    faces = ListedImages(Path(folder), listed_paths) if listed_paths is not None else open_faces(folder)
    features = extract(load(model, resolve_device(device)), faces, Path(out), flip, float16)
    if megaface_tree is not None:
        write_feature_tree(features, Path(megaface_tree), suffix or DEFAULT_SUFFIX)
    return len(features)
