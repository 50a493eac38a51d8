"""Synthetic faces: a demo and a test bed, nothing more; results on them say nothing about real people.

A face is a handful of curves (see `synthetic_face`). The identity seed fixes its geometry and tones; the view seed its
pose, light, expression, blur, occlusion and noise. A network has to learn which differences matter, as on photographs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.data import cv2
from facekd.data.alignment.landmarks import similarity, template
from facekd.data.synthetic.face import Face, Image, Points
from facekd.errors import DataError
from facekd.utils import files


def render(identity_seed: int, view_seed: int, size: int = 112) -> Image:
    """Draw one aligned crop: the five points lie near the ArcFace template, as after a real detector.

    Args:
        identity_seed: who; 0 or more.
        view_seed: which picture of that person; 0 or more.
        size: side in pixels.

    Returns:
        uint8 [size, size, 3], RGB; the same for the same seeds, whatever was drawn before.
    """
    rng = _generator(identity_seed, view_seed)
    face = Face(identity_seed, rng)
    fit = similarity(face.landmarks(), template(size)) - [[0, 0, size / 2], [0, 0, size / 2]]
    wobble = _placement(rng.normal(0, 0.06), rng.normal(1, 0.05), rng.normal(size / 2, size * 0.02, 2))
    return _picture(face, wobble @ np.vstack([fit, [0, 0, 1]]), size, rng)


def render_photo(identity_seed: int, view_seed: int, size: int = 250) -> tuple[Image, NDArray[np.float32]]:
    """Draw an unaligned photograph: the face tilted by up to 20 degrees, somewhere in the picture.

    Returns:
        uint8 [size, size, 3], RGB, and the exact five points, float32 [5, 2] (x, y) in the order of `detect.Face`.
    """
    rng = _generator(identity_seed, view_seed)
    face = Face(identity_seed, rng)
    scale = size / 250 * rng.uniform(0.8, 1.2)
    matrix = _placement(rng.uniform(-0.35, 0.35), scale, size * rng.uniform([0.42, 0.38], [0.58, 0.5]))
    landmarks = face.landmarks() @ matrix[:, :2].T + matrix[:, 2]
    return _picture(face, matrix, size, rng), landmarks.astype(np.float32)


def write_faces(out: Path, identities: range, images: int, size: int = 112) -> None:
    """Write an image folder, ``out/id_00007/0003.jpg``, of ``images`` crops of each identity (JPEG, quality 95)."""
    for identity in identities:
        for view in range(images):
            bgr = cv2.cvtColor(render(identity, view, size), cv2.COLOR_RGB2BGR)
            data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            files.write_bytes(out / _name(identity, view), data)


def write_pairs(root: Path, identities: range, images: int, pairs_per_fold: int, folds: int, path: Path) -> None:
    """Write verification pairs over a folder made by `write_faces`: CSV ``fold,path1,path2,same``, half of them same.

    No person stands in two folds and no pair is repeated, as in LFW's protocol; folds count from 1.

    Args:
        root: the folder the paths are relative to.
        identities: as given to `write_faces`, or a part of it.
        images: as given to `write_faces`.
        pairs_per_fold: an even number.
        folds: number of folds.
        path: the CSV file.

    Raises:
        DataError: the identities do not give that many different pairs, or ``root`` lacks an image of a pair.
    """
    rng = np.random.default_rng(np.random.SeedSequence([3, len(identities), images, pairs_per_fold, folds]))
    half = pairs_per_fold // 2
    rows: list[tuple[int, str, str, int]] = []
    for fold in range(folds):
        people = np.array(identities[fold::folds])
        most = len(people) * images * min(images - 1, (len(people) - 1) * images) // 2
        if half > most:
            raise DataError(
                f"{len(people)} identities a fold with {images} images each give {most} pairs of a kind, "
                f"{half} are asked for; take more identities or fewer pairs"
            )
        for same in (1, 0):
            chosen: dict[tuple[str, str], None] = {}
            while len(chosen) < half:
                one, other = rng.choice(people, 2, replace=False) if not same else [rng.choice(people)] * 2
                views = rng.choice(images, 2, replace=not same)
                first, second = sorted([_name(one, views[0]), _name(other, views[1])])
                chosen[first, second] = None
            rows += [(fold + 1, first, second, same) for first, second in chosen]
    absent = {name for row in rows for name in row[1:3] if not (root / name).is_file()}
    if absent:
        raise DataError(f"{root} lacks {len(absent)} images of the pairs, e.g. {min(absent)}; call write_faces first")
    files.write_text(path, "fold,path1,path2,same\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in rows))


def _name(identity: int, view: int) -> str:
    return f"id_{identity:05d}/{view:04d}.jpg"


def _generator(identity_seed: int, view_seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([2, identity_seed, view_seed]))


def _placement(angle: float, scale: float, centre: ArrayLike) -> Points:
    """Turn, scale, then shift the origin to ``centre``: [2, 3]."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.column_stack([[[cos, -sin], [sin, cos]], np.asarray(centre)])


def _picture(face: Face, matrix: Points, size: int, rng: np.random.Generator) -> Image:
    """Background, face, something held before it, then light, white balance, blur and noise."""
    scene = cv2.resize(rng.uniform(20, 235, (3, 3, 3)), (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    face.paint(scene, matrix)
    if rng.random() < 0.25:
        centre, axes = matrix[:, 2] + matrix[0, 0] * rng.uniform(-45, 45, 2), matrix[0, 0] * rng.uniform(8, 18, 2)
        box = (centre.tolist(), (2 * axes).tolist(), rng.uniform(0, 180))
        cv2.ellipse(scene, box, rng.uniform(0, 255, 3).tolist(), cv2.FILLED, cv2.LINE_AA)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    slope, gain = rng.normal(0, 0.28, 2), rng.uniform(0.5, 1.4) * rng.normal(1, 0.09, 3)
    light = (1 + slope[0] * ramp + slope[1] * ramp[:, None])[..., None] * gain
    sigma = max(0.3, rng.normal(0.8, 0.5)) * size / 112
    grain = rng.standard_normal(scene.shape, dtype=np.float32) * rng.uniform(1, 10) + rng.normal(0, 10)
    lit: NDArray[np.float64] = cv2.GaussianBlur(scene, (0, 0), sigma) * light + grain
    return lit.clip(0, 255).astype(np.uint8)
