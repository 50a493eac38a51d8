"""Synthetic face sets and pair lists for the demo and the tests; results on them say nothing about real faces.

A face is drawn with a few curves (see `facekd.data.synthetic.face`). The identity seed determines its geometry and
colors; the view seed determines pose, light, expression, blur, occlusion and noise. As with photographs, a network has
to learn which differences separate identities.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.data import cv2
from facekd.data.alignment.landmarks import reference_landmarks, similarity_transform
from facekd.data.synthetic.face import Image, Points, SyntheticFace
from facekd.errors import DataError
from facekd.io import files


def render_crop(identity_seed: int, view_seed: int, size: int = 112) -> Image:
    """Draw one aligned crop. Its landmarks are near ArcFace's reference landmarks, as with a real detector.

    Args:
        identity_seed: the seed of the identity; 0 or more.
        view_seed: the seed of the view of this identity; 0 or more.
        size: the side of the crop in pixels.

    Returns:
        uint8 [size, size, 3], RGB; a function of the arguments only.
    """
    rng = _generator(identity_seed, view_seed)
    face = SyntheticFace(identity_seed, rng)
    fit = similarity_transform(face.landmarks(), reference_landmarks(size)) - [[0, 0, size / 2], [0, 0, size / 2]]
    jitter = _similarity_matrix(rng.normal(0, 0.06), rng.normal(1, 0.05), rng.normal(size / 2, size * 0.02, 2))
    return _draw(face, jitter @ np.vstack([fit, [0, 0, 1]]), size, rng)


def render_photo(identity_seed: int, view_seed: int, size: int = 250) -> tuple[Image, NDArray[np.float32]]:
    """Draw an unaligned photograph: a face rotated by up to 20 degrees at a random position.

    Args:
        identity_seed: the seed of the identity; 0 or more.
        view_seed: the seed of the view of this identity; 0 or more.
        size: the side of the photograph in pixels.

    Returns:
        The photograph, uint8 [size, size, 3], RGB, and its exact landmarks, float32 [5, 2] (x, y) in the order of
        `facekd.data.alignment.detector.DetectedFace`.
    """
    rng = _generator(identity_seed, view_seed)
    face = SyntheticFace(identity_seed, rng)
    scale = size / 250 * rng.uniform(0.8, 1.2)
    matrix = _similarity_matrix(rng.uniform(-0.35, 0.35), scale, size * rng.uniform([0.42, 0.38], [0.58, 0.5]))
    landmarks = face.landmarks() @ matrix[:, :2].T + matrix[:, 2]
    return _draw(face, matrix, size, rng), landmarks.astype(np.float32)


def write_faces(out: Path, identities: range, images: int, size: int = 112) -> None:
    """Write an image folder with ``images`` crops per identity, ``out/id_00007/0003.jpg`` (JPEG, quality 95)."""
    for identity in identities:
        for view in range(images):
            bgr = cv2.cvtColor(render_crop(identity, view, size), cv2.COLOR_RGB2BGR)
            data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            files.write_bytes(out / _image_path(identity, view), data)


def write_pairs(root: Path, identities: range, images: int, pairs_per_fold: int, folds: int, path: Path) -> None:
    """Write verification pairs of a folder from `write_faces` as CSV ``fold,path1,path2,same``; half of them match.

    As in LFW's protocol, no identity is in two folds and no pair occurs twice. Folds count from 1.

    Args:
        root: the folder to which the paths are relative.
        identities: the identities given to `write_faces`, or some of them.
        images: the number of images per identity given to `write_faces`.
        pairs_per_fold: the number of pairs in each fold, even.
        folds: the number of folds.
        path: the CSV file.

    Raises:
        DataError: the identities do not have that many distinct pairs, or ``root`` lacks an image of a pair.
    """
    rng = np.random.default_rng(np.random.SeedSequence([3, len(identities), images, pairs_per_fold, folds]))
    pairs_per_kind = pairs_per_fold // 2
    rows: list[tuple[int, str, str, int]] = []
    for fold in range(folds):
        people = np.array(identities[fold::folds])
        available = len(people) * images * min(images - 1, (len(people) - 1) * images) // 2
        if pairs_per_kind > available:
            raise DataError(
                f"{len(people)} identities a fold with {images} images each give {available} pairs of a kind, "
                f"{pairs_per_kind} are needed; take more identities or fewer pairs"
            )
        for same in (1, 0):
            pairs = _draw_pairs(rng, people, images, pairs_per_kind, same=bool(same))
            rows += [(fold + 1, first, second, same) for first, second in pairs]
    missing = {name for row in rows for name in row[1:3] if not (root / name).is_file()}
    if missing:
        raise DataError(f"{root} lacks {len(missing)} images of the pairs, e.g. {min(missing)}; call write_faces first")
    lines = [f"{fold},{first},{second},{same}\n" for fold, first, second, same in rows]
    files.write_text(path, "fold,path1,path2,same\n" + "".join(lines))


def _draw_pairs(
    rng: np.random.Generator, people: NDArray[np.int64], images: int, count: int, same: bool
) -> list[tuple[str, str]]:
    """Draw ``count`` distinct pairs of images of one identity (``same``) or of two identities."""
    pairs: dict[tuple[str, str], None] = {}  # a dict keeps the order in which pairs are drawn
    while len(pairs) < count:
        one, other = [rng.choice(people)] * 2 if same else rng.choice(people, 2, replace=False)
        views = rng.choice(images, 2, replace=not same)
        first, second = sorted([_image_path(one, views[0]), _image_path(other, views[1])])
        pairs[first, second] = None
    return list(pairs)


def _image_path(identity: int, view: int) -> str:
    return f"id_{identity:05d}/{view:04d}.jpg"


def _generator(identity_seed: int, view_seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([2, identity_seed, view_seed]))


def _similarity_matrix(angle: float, scale: float, center: ArrayLike) -> Points:
    """Return the [2, 3] matrix that rotates, scales and then moves the origin to ``center``."""
    cos = scale * np.cos(angle)
    sin = scale * np.sin(angle)
    return np.column_stack([[[cos, -sin], [sin, cos]], np.asarray(center)])


def _draw(face: SyntheticFace, matrix: Points, size: int, rng: np.random.Generator) -> Image:
    """Draw background, face and occlusion, then apply light, white balance, blur and noise.

    The order of the random draws determines the images: do not reorder them.
    """
    scene = cv2.resize(rng.uniform(20, 235, (3, 3, 3)), (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    face.paint(scene, matrix)
    if rng.random() < 0.25:  # an ellipse that hides a part of the face
        center = matrix[:, 2] + matrix[0, 0] * rng.uniform(-45, 45, 2)
        axes = matrix[0, 0] * rng.uniform(8, 18, 2)
        box = (center.tolist(), (2 * axes).tolist(), rng.uniform(0, 180))
        cv2.ellipse(scene, box, rng.uniform(0, 255, 3).tolist(), cv2.FILLED, cv2.LINE_AA)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    slope = rng.normal(0, 0.28, 2)
    gain = rng.uniform(0.5, 1.4) * rng.normal(1, 0.09, 3)
    light = (1 + slope[0] * ramp + slope[1] * ramp[:, None])[..., None] * gain
    sigma = max(0.3, rng.normal(0.8, 0.5)) * size / 112
    grain = rng.standard_normal(scene.shape, dtype=np.float32) * rng.uniform(1, 10) + rng.normal(0, 10)
    lit: NDArray[np.float64] = cv2.GaussianBlur(scene, (0, 0), sigma) * light + grain
    return lit.clip(0, 255).astype(np.uint8)
