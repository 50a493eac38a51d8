"""One synthetic face: what its identity seed fixes, how it turns with the head, and how it is painted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.data import cv2

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Tone = NDArray[np.float64]

# Lowest and highest of each trait, in face coordinates: pixels of the 112 px crop, origin between the eyes, y down.
GEOMETRY = {
    "cheek": (35, 46), "chin": (50, 68), "jaw": (0.55, 1.05), "crown": (42, 54), "ear": (4, 8),
    "eye_x": (15.0, 20.5), "eye_w": (5.5, 8.5), "eye_h": (2.4, 4.6), "eye_tilt": (-0.18, 0.18), "iris": (2.4, 3.5),
    "brow_y": (7.5, 13), "brow_w": (8, 12), "brow_arch": (-0.5, 4), "brow_tilt": (-0.2, 0.2), "brow_thick": (1, 3.4),
    "nose_y": (15, 25), "nose_w": (4.5, 10), "bridge": (1.2, 3), "mouth_y": (34, 45), "mouth_w": (10, 18),
    "lip_up": (1.5, 4.5), "lip_low": (2, 6), "hairline": (-38, -20), "fringe": (-10, 10), "part": (-18, 18),
    "volume": (2, 12), "length": (-20, 60), "beard": (-1.0, 0.6),
}  # fmt: skip
SKIN = np.array([[246, 214, 192], [224, 178, 146], [186, 132, 98], [132, 88, 64], [84, 56, 44]], np.float64)
HAIR = np.array([[28, 22, 20], [66, 42, 28], [112, 72, 42], [188, 146, 88], [150, 146, 142], [140, 62, 34]], np.float64)
EYES = np.array([[58, 36, 24], [104, 72, 40], [92, 116, 72], [92, 132, 168]], np.float64)
LIPS = np.array([[176, 84, 84], [196, 112, 104], [140, 70, 66]], np.float64)
WHITE = np.array([238.0, 236.0, 232.0])

_BAR = np.linspace(-1, 1, 9)
_BOW = 1 - _BAR**2
_ANGLES = np.linspace(0, np.pi, 25)
_ARCH = np.column_stack([-np.cos(_ANGLES), np.sin(_ANGLES)])
_CIRCLE = np.concatenate([_ARCH, -_ARCH[1:-1]])[::2]


def _mix(palette: Tone, rng: np.random.Generator) -> Tone:
    """A tone between two neighbours of a palette, a little off."""
    place = rng.uniform(0, len(palette) - 1)
    low = int(place)
    tone: Tone = palette[low] + (place - low) * (palette[low + 1] - palette[low]) + rng.normal(0, 5, 3)
    return tone


class Face:
    """An identity in one pose.

    Args:
        seed: who.
        rng: where yaw, pitch and expression of this view come from.

    Points are [n, 2] in face coordinates; ``lift`` is how far they stand out of the head's surface.
    """

    def __init__(self, seed: int, rng: np.random.Generator) -> None:
        own = np.random.default_rng(np.random.SeedSequence([1, seed]))
        self.traits = {name: float(own.uniform(low, high)) for name, (low, high) in GEOMETRY.items()}
        self.skin, self.hair, self.eyes, lips = (_mix(palette, own) for palette in (SKIN, HAIR, EYES, LIPS))
        self.lips = 0.55 * lips + 0.45 * self.skin * [0.9, 0.62, 0.62]
        yaw, pitch = np.clip(rng.normal(0, [0.3, 0.14]), -0.7, 0.7)
        self._cos, self._sin = np.cos([yaw, pitch]), np.sin([yaw, pitch])
        self.smile, self.open = rng.normal(0, 2.5), max(0.0, rng.normal(0, 3.5))
        self.lids, self.gaze = rng.uniform(0.55, 1.1), rng.normal(0, 0.9)
        self.clothes = rng.uniform(20, 230, 3)

    def turn(self, points: ArrayLike, lift: float = 0.0) -> Points:
        """Where points go when the head, half an ellipsoid, turns by yaw and pitch: [n, 2]."""
        flat = np.asarray(points, np.float64)
        inside = np.maximum(1 - (((flat - [0, 8]) / [52, 75]) ** 2).sum(axis=1), 0)
        depth = 26 * np.sqrt(inside) - 12 + lift
        turned: Points = flat * self._cos + depth[:, None] * self._sin
        return turned

    def landmarks(self) -> Points:
        """The five points [5, 2]: left eye, right eye, nose, left and right mouth corner as seen in the picture."""
        eye, mouth = self.traits["eye_x"], self._mouth()
        surface = self.turn([[-eye, 0], [eye, 0], mouth[0], mouth[-1]])
        return np.insert(surface, 2, self.turn([[0, self.traits["nose_y"]]], 7)[0], axis=0)

    def _mouth(self) -> Points:
        x = _BAR * (self.traits["mouth_w"] + 0.6 * self.smile)
        return np.column_stack([x, self.traits["mouth_y"] + self.smile * (_BOW - 0.5)])

    def paint(self, scene: Image, matrix: Points) -> None:
        """Paint the face on ``scene`` (changed in place) through the [2, 3] matrix from face coordinates to pixels."""
        brush = Brush(scene, self, matrix)
        self._head(brush)
        for side in (-1, 1):
            self._eye(brush, side)
        self._nose(brush)
        mouth, bow = self._mouth(), np.column_stack([np.zeros(9), _BOW])
        upper, lower = mouth - bow * self.traits["lip_up"], mouth + bow * (self.traits["lip_low"] + self.open)
        brush.fill([*upper, *lower[::-1]], self.lips)
        brush.fill([*mouth, *(mouth + bow * self.open)[::-1]], self.lips * 0.3)
        brush.line(mouth, 0.9, self.lips * 0.5)

    def _head(self, brush: Brush) -> None:
        t = self.traits
        low = np.sign(_ARCH) * np.abs(_ARCH) ** [t["jaw"] * 0.75 + 0.2, 0.95] * [t["cheek"], t["chin"] - 5] + [0, 5]
        high = _ARCH[::-1] * [t["cheek"], -t["crown"] - 5] + [0, 5]
        volume = high * [1 + t["volume"] / 60, 1 + t["volume"] / 70]
        brush.fill([[-90, 120], [-70, 84], [-18, 70], [18, 70], [70, 84], [90, 120]], self.clothes)
        if t["length"] > 0:
            side = t["cheek"] + t["volume"]
            brush.fill([*volume, [-side, t["length"]], [side, t["length"]]], self.hair * 0.8)
        brush.fill([[-19, 40], [19, 40], [21, 76], [0, 84], [-21, 76]], self.skin * 0.72)
        for side in (-1, 1):
            brush.oval([side * t["cheek"], 6], [t["ear"] * 0.7, t["ear"] * 1.4], self.skin * 0.86)
        brush.fill([*low, *high], self.skin)
        if t["beard"] > 0:
            rim = low[4:-4] * [0.97, 0.98]
            inner = rim[::-1] * [0.8, 0.55] + [0, t["mouth_y"] * 0.42]
            brush.fill([*rim, *inner], self.skin + t["beard"] * (self.hair - self.skin))
        line = t["hairline"] + t["fringe"] * np.cos((_BAR * t["cheek"] - t["part"]) / 16)
        width = t["cheek"] * np.sqrt(np.maximum(1 - ((line - 5) / (t["crown"] + 5)) ** 2, 0))
        brush.fill([*volume, *np.column_stack([_BAR * width, line])], self.hair)

    def _eye(self, brush: Brush, side: int) -> None:
        t, x = self.traits, _BAR * self.traits["eye_w"]
        eye, tilt, height = np.array([side * t["eye_x"], 0.0]), side * t["eye_tilt"] * x, t["eye_h"] * self.lids * _BOW
        lid, under = np.column_stack([x, tilt - height]) + eye, (np.column_stack([x, tilt + 0.7 * height]) + eye)[::-1]
        brush.fill([*(lid - [0, 2]), *under], self.skin * 0.82)
        brush.fill([*lid, *under], WHITE)
        pupil, limit = eye + np.array([self.gaze, 0.0]), t["eye_h"] * self.lids
        brush.oval(pupil, [t["iris"], min(t["iris"], limit)], self.eyes)
        brush.oval(pupil, [t["iris"] * 0.45, min(t["iris"] * 0.45, limit)], self.eyes * 0.15)
        brush.line(lid, 1.3, self.skin * 0.3)
        brow = np.column_stack([_BAR * t["brow_w"], side * t["brow_tilt"] * _BAR * t["brow_w"] - t["brow_arch"] * _BOW])
        brush.line(brow + eye - [0, t["brow_y"]], t["brow_thick"], 0.75 * self.hair + 0.15 * self.skin)

    def _nose(self, brush: Brush) -> None:
        root, tip, wing = self.traits["bridge"], self.traits["nose_y"], self.traits["nose_w"]
        brush.fill([[root, 0], [root + 2, 0], [wing, tip], [wing * 0.4, tip]], self.skin * 0.86, 5)
        brush.fill([[-root, 0], [root, 0], [wing * 0.4, tip], [-wing * 0.4, tip]], self.skin * 1.08, 7)
        rim = [[-wing, tip], [-wing * 0.6, tip + 3], [0, tip + 4.5], [wing * 0.6, tip + 3], [wing, tip]]
        brush.line(rim, 1.6, self.skin * 0.66, 7)
        for side in (-1, 1):
            brush.oval([side * wing * 0.5, tip + 2.2], [wing * 0.22, 1.1], self.skin * 0.35, 7)


class Brush:
    """Fills shapes given in face coordinates on a picture, antialiased, exact to 1/16 pixel."""

    def __init__(self, scene: Image, face: Face, matrix: Points) -> None:
        self.scene, self.face, self.matrix = scene, face, matrix
        self.scale = float(np.hypot(*matrix[:, 0]))

    def _pixels(self, points: ArrayLike, lift: float) -> NDArray[np.int32]:
        placed = self.face.turn(points, lift) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.rint(placed * 16).astype(np.int32)

    def fill(self, points: ArrayLike, tone: Tone, lift: float = 0.0) -> None:
        """Fill a polygon [n, 2] with an RGB tone."""
        cv2.fillPoly(self.scene, [self._pixels(points, lift)], tone.clip(0, 255).tolist(), cv2.LINE_AA, 4)

    def line(self, points: ArrayLike, width: float, tone: Tone, lift: float = 0.0) -> None:
        """Draw an open line through points [n, 2]."""
        path, thick = [self._pixels(points, lift)], max(1, round(width * self.scale))
        cv2.polylines(self.scene, path, False, tone.clip(0, 255).tolist(), thick, cv2.LINE_AA, 4)

    def oval(self, centre: ArrayLike, radii: ArrayLike, tone: Tone, lift: float = 0.0) -> None:
        """Fill an ellipse."""
        self.fill(_CIRCLE * np.asarray(radii) + np.asarray(centre), tone, lift)
