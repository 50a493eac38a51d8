"""One synthetic face: the traits of an identity, their appearance under head rotation, and how they are painted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.data import cv2

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Color = NDArray[np.float64]

# Range of each trait in face coordinates: pixels of a crop of 112 px, origin between the eyes, y down.
TRAIT_RANGES = {
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

# Unit curves that the features are scaled from: a segment, a parabola over it, a half circle and a full circle.
_SEGMENT = np.linspace(-1, 1, 9)
_PARABOLA = 1 - _SEGMENT**2
_ANGLES = np.linspace(0, np.pi, 25)
_HALF_CIRCLE = np.column_stack([-np.cos(_ANGLES), np.sin(_ANGLES)])
_CIRCLE = np.concatenate([_HALF_CIRCLE, -_HALF_CIRCLE[1:-1]])[::2]


def _mix(palette: Color, rng: np.random.Generator) -> Color:
    """Interpolate between two neighboring colors of a palette at a random position, and add a little noise."""
    position = rng.uniform(0, len(palette) - 1)
    low = int(position)
    color: Color = palette[low] + (position - low) * (palette[low + 1] - palette[low]) + rng.normal(0, 5, 3)
    return color


class SyntheticFace:
    """An identity in one pose.

    Points are [n, 2] in face coordinates (see `TRAIT_RANGES`); ``lift`` is their distance from the surface of the head,
    toward the viewer.

    Args:
        seed: the seed of the identity.
        rng: the source of the yaw, pitch and expression of this view.
    """

    def __init__(self, seed: int, rng: np.random.Generator) -> None:
        identity_rng = np.random.default_rng(np.random.SeedSequence([1, seed]))
        self.traits = {name: float(identity_rng.uniform(low, high)) for name, (low, high) in TRAIT_RANGES.items()}
        self.skin = _mix(SKIN, identity_rng)
        self.hair = _mix(HAIR, identity_rng)
        self.eyes = _mix(EYES, identity_rng)
        self.lips = 0.55 * _mix(LIPS, identity_rng) + 0.45 * self.skin * [0.9, 0.62, 0.62]
        angles = np.clip(rng.normal(0, [0.3, 0.14]), -0.7, 0.7)  # yaw, pitch
        self._cos = np.cos(angles)
        self._sin = np.sin(angles)
        self.smile = rng.normal(0, 2.5)
        self.mouth_opening = max(0.0, rng.normal(0, 3.5))
        self.lids = rng.uniform(0.55, 1.1)
        self.gaze = rng.normal(0, 0.9)
        self.clothes = rng.uniform(20, 230, 3)

    def rotate(self, points: ArrayLike, lift: float = 0.0) -> Points:
        """Return the positions [n, 2] of points after the head, a half ellipsoid, is rotated by yaw and pitch."""
        flat = np.asarray(points, np.float64)
        inside = np.maximum(1 - (((flat - [0, 8]) / [52, 75]) ** 2).sum(axis=1), 0)
        depth = 26 * np.sqrt(inside) - 12 + lift
        rotated: Points = flat * self._cos + depth[:, None] * self._sin
        return rotated

    def landmarks(self) -> Points:
        """Return left eye, right eye, nose, left and right mouth corner of the image, [5, 2]."""
        eye = self.traits["eye_x"]
        mouth = self._mouth()
        surface = self.rotate([[-eye, 0], [eye, 0], mouth[0], mouth[-1]])
        return np.insert(surface, 2, self.rotate([[0, self.traits["nose_y"]]], 7)[0], axis=0)

    def _mouth(self) -> Points:
        x = _SEGMENT * (self.traits["mouth_w"] + 0.6 * self.smile)
        return np.column_stack([x, self.traits["mouth_y"] + self.smile * (_PARABOLA - 0.5)])

    def paint(self, scene: Image, matrix: Points) -> None:
        """Paint the face on ``scene`` in place.

        Args:
            scene: uint8 [height, width, 3], RGB.
            matrix: float64 [2, 3], the affine map from face coordinates to pixels.
        """
        brush = Brush(scene, self, matrix)
        self._paint_head(brush)
        for side in (-1, 1):
            self._paint_eye(brush, side)
        self._paint_nose(brush)
        self._paint_mouth(brush)

    def _paint_mouth(self, brush: Brush) -> None:
        mouth = self._mouth()
        bow = np.column_stack([np.zeros(9), _PARABOLA])
        upper = mouth - bow * self.traits["lip_up"]
        lower = mouth + bow * (self.traits["lip_low"] + self.mouth_opening)
        brush.fill([*upper, *lower[::-1]], self.lips)
        brush.fill([*mouth, *(mouth + bow * self.mouth_opening)[::-1]], self.lips * 0.3)
        brush.line(mouth, 0.9, self.lips * 0.5)

    def _paint_head(self, brush: Brush) -> None:
        t = self.traits
        jaw_exponents = [t["jaw"] * 0.75 + 0.2, 0.95]
        low = np.sign(_HALF_CIRCLE) * np.abs(_HALF_CIRCLE) ** jaw_exponents * [t["cheek"], t["chin"] - 5] + [0, 5]
        high = _HALF_CIRCLE[::-1] * [t["cheek"], -t["crown"] - 5] + [0, 5]
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
        hairline = t["hairline"] + t["fringe"] * np.cos((_SEGMENT * t["cheek"] - t["part"]) / 16)
        width = t["cheek"] * np.sqrt(np.maximum(1 - ((hairline - 5) / (t["crown"] + 5)) ** 2, 0))
        brush.fill([*volume, *np.column_stack([_SEGMENT * width, hairline])], self.hair)

    def _paint_eye(self, brush: Brush, side: int) -> None:
        t = self.traits
        x = _SEGMENT * t["eye_w"]
        eye = np.array([side * t["eye_x"], 0.0])
        tilt = side * t["eye_tilt"] * x
        height = t["eye_h"] * self.lids * _PARABOLA
        upper_lid = np.column_stack([x, tilt - height]) + eye
        lower_lid = (np.column_stack([x, tilt + 0.7 * height]) + eye)[::-1]
        brush.fill([*(upper_lid - [0, 2]), *lower_lid], self.skin * 0.82)
        brush.fill([*upper_lid, *lower_lid], WHITE)
        pupil = eye + np.array([self.gaze, 0.0])
        limit = t["eye_h"] * self.lids
        brush.oval(pupil, [t["iris"], min(t["iris"], limit)], self.eyes)
        brush.oval(pupil, [t["iris"] * 0.45, min(t["iris"] * 0.45, limit)], self.eyes * 0.15)
        brush.line(upper_lid, 1.3, self.skin * 0.3)
        brow_y = side * t["brow_tilt"] * _SEGMENT * t["brow_w"] - t["brow_arch"] * _PARABOLA
        brow = np.column_stack([_SEGMENT * t["brow_w"], brow_y])
        brush.line(brow + eye - [0, t["brow_y"]], t["brow_thick"], 0.75 * self.hair + 0.15 * self.skin)

    def _paint_nose(self, brush: Brush) -> None:
        root = self.traits["bridge"]
        tip = self.traits["nose_y"]
        wing = self.traits["nose_w"]
        brush.fill([[root, 0], [root + 2, 0], [wing, tip], [wing * 0.4, tip]], self.skin * 0.86, 5)
        brush.fill([[-root, 0], [root, 0], [wing * 0.4, tip], [-wing * 0.4, tip]], self.skin * 1.08, 7)
        rim = [[-wing, tip], [-wing * 0.6, tip + 3], [0, tip + 4.5], [wing * 0.6, tip + 3], [wing, tip]]
        brush.line(rim, 1.6, self.skin * 0.66, 7)
        for side in (-1, 1):
            brush.oval([side * wing * 0.5, tip + 2.2], [wing * 0.22, 1.1], self.skin * 0.35, 7)


class Brush:
    """Draws shapes given in face coordinates on an image, antialiased, with a precision of 1/16 pixel.

    Args:
        scene: uint8 [height, width, 3], the image to draw on.
        face: the face whose head rotation is applied to the shapes.
        matrix: float64 [2, 3], the affine map from face coordinates to pixels.
    """

    def __init__(self, scene: Image, face: SyntheticFace, matrix: Points) -> None:
        self.scene = scene
        self.face = face
        self.matrix = matrix
        self.scale = float(np.hypot(*matrix[:, 0]))

    def _to_fixed_point(self, points: ArrayLike, lift: float) -> NDArray[np.int32]:
        """Return pixel coordinates in OpenCV's fixed-point form with 4 fractional bits."""
        pixels = self.face.rotate(points, lift) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.rint(pixels * 16).astype(np.int32)

    def fill(self, points: ArrayLike, color: Color, lift: float = 0.0) -> None:
        """Fill a polygon [n, 2] with an RGB color."""
        polygon = self._to_fixed_point(points, lift)
        cv2.fillPoly(self.scene, [polygon], color.clip(0, 255).tolist(), cv2.LINE_AA, 4)

    def line(self, points: ArrayLike, width: float, color: Color, lift: float = 0.0) -> None:
        """Draw an open line through points [n, 2]."""
        path = self._to_fixed_point(points, lift)
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.scene, [path], False, color.clip(0, 255).tolist(), thickness, cv2.LINE_AA, 4)

    def oval(self, center: ArrayLike, radii: ArrayLike, color: Color, lift: float = 0.0) -> None:
        """Fill an ellipse."""
        self.fill(_CIRCLE * np.asarray(radii) + np.asarray(center), color, lift)
