"""``facekd embed``: the embeddings of a face set in one file."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Unpack

from facekd.data.containers.path_list import ListedImages, read_path_list
from facekd.data.megaface.feature_names import DEFAULT_SUFFIX, check_suffix
from facekd.data.megaface.feature_tree import write_feature_tree
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.embedding.extract import extract
from facekd.io.outputs import check_writable
from facekd.models.input_format import InputOptions
from facekd.models.loading import load


def embed(folder: Path | str, out: Path | str, model: Path | str, *, flip: bool = True, device: str = "auto",
          image_list: Path | str | None = None, float16: bool = False, megaface_tree: Path | str | None = None,
          suffix: str | None = None, labels: bool | None = None,
          **options: Unpack[InputOptions]) -> int:
    """Write the embeddings of a face set as ``.npy``, not L2-normalized; the same call continues after a kill.

    Args:
        folder: a face set, see `facekd.data.opening.open_faces`; with ``image_list`` the root folder of its paths.
        out: the file to write, float [images, dimension]; labels, names and provenance are written next to it, see
            `facekd.evaluation.embedding.extract.extract`.
        model: the model, see `facekd.models.loading.load`.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models.
        image_list: a text file with one image path per line; only these images are embedded, in this order.
        float16: whether to write float16 in place of float32.
        megaface_tree: root folder of MegaFace's tree of one feature file per image, which is written as well.
        suffix: suffix of the files of this tree after the image path; default ``_facekd.bin``.
        labels: whether the set has labels, see `facekd.data.opening.open_faces`; not with ``image_list``.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Returns:
        the number of images.

    Raises:
        DataError: the images cannot be used, or the suffix is no end of a file name.
        ModelError: the model cannot be loaded.
        SetupError: an output cannot be written, or another process writes it.
    """
    if suffix is not None and megaface_tree is None:
        raise DataError("--suffix names the files of --megaface-tree; give that folder as well, or leave --suffix out")
    suffix = DEFAULT_SUFFIX if suffix is None else suffix
    check_suffix(suffix)
    if megaface_tree is not None:
        check_writable(megaface_tree, folder=True)
    if image_list is not None and labels is not None:
        raise DataError("--labels is about the subfolders of a folder, and --list names the images; leave one out")
    listed_paths = read_path_list(Path(image_list)) if image_list else None
    faces = ListedImages(Path(folder), listed_paths) if listed_paths is not None else open_faces(folder, labels=labels)
    features = extract(load(model, device, **options), faces, Path(out), flip, float16)
    if megaface_tree is not None:
        write_feature_tree(features, Path(megaface_tree), suffix)
    return len(features)
