"""Three ways to deal with wrong images among MegaFace's probes and distractors: raw, compatible, strict.

``raw`` changes nothing.

``compatible`` is what InsightFace's remove_noises.py does and what figures marked "(R)" in papers rest on. There every
feature gets one dimension more, 0 for a clean image. A probe on the noise list is replaced by the sum of the clean
features of its person plus noise drawn from U(-0.001, 0.001), normalised; a distractor on the list has 100 there,
farther in Euclidean distance from every probe than any clean one. Among unit vectors that order is the one of the
cosine similarity without these distractors, so here they are left out and the dimension is not needed. Two
differences remain: a centre is made of unit features, whatever the length of the stored ones, and false accept rates
count the impostor pairs that are left (the published list takes at most 0.07 % of a million distractors).

``compatible`` is optimistic: the centre of a person's images lies nearer to each of them than any image does, so the
replaced probes are found, and are mates that are found, more often than clean photographs would be. ``strict`` leaves
out the probes on the list as well as the distractors, and replaces none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import ArrayFeatures, FeatureSet, SelectedFeatures
from facekd.data.megaface.noise_lists import Noise, NoiseList
from facekd.errors import DataError, nearest

WAYS = ("raw", "compatible", "strict")
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Probes and distractors after one way of cleaning.

    Attributes:
        way: one of `WAYS`.
        probes: the probes to evaluate, replaced ones among them.
        distractors: the distractors to evaluate.
        probe_rows: int64 [probes], the row of each in the probes given.
        distractor_rows: int64 [distractors], likewise.
        notes: sentences that say what was done, with counts.
    """

    way: str
    probes: FeatureSet
    distractors: FeatureSet
    probe_rows: Rows
    distractor_rows: Rows
    notes: tuple[str, ...]


def clean(probes: FeatureSet, distractors: FeatureSet, noise: Noise | None, way: str, seed: int = 0) -> Cleaned:
    """Apply one of the three ways.

    Args:
        probes: with labels and names.
        distractors: with names; only their names are read here.
        noise: the lists; ``raw`` does not need them.
        way: one of `WAYS`.
        seed: of the noise that ``compatible`` adds.

    Raises:
        DataError: an unknown way, lists or labels or names that are missing, nothing is left, or, for ``compatible``,
            a person without a clean image or whose clean features cancel out.
    """
    if way not in WAYS:
        raise DataError(f"cleaning '{way}' is not known; {nearest(way, WAYS)}")
    if way == "raw":
        note = f"raw: all {len(probes):,} probes and {len(distractors):,} distractors as they are"
        return Cleaned(way, probes, distractors, np.arange(len(probes)), np.arange(len(distractors)), (note,))
    if noise is None:
        raise DataError(f"cleaning '{way}' needs the noise lists; give the folder that holds them")
    if probes.labels is None:
        raise DataError(f"{probes.path} does not say who is in each image; give the list of probes")
    bad_probes, probes_note = _noisy(probes, noise.probes, "probes")
    bad_distractors, distractors_note = _noisy(distractors, noise.distractors, "distractors")
    persons = len(np.unique(probes.labels[bad_probes]))
    what = f"{way}: {bad_probes.sum():,} of {len(probes):,} probes ({persons:,} people) "
    if way == "compatible":
        kept, rows = _replaced(probes, probes.labels, bad_probes, seed), np.arange(len(probes))
        what += "replaced by the centre of their person's other images"
    else:
        kept, rows = _without(probes, bad_probes, "probes")
        what += "left out" + _lost(probes.labels, bad_probes)
    left, left_rows = _without(distractors, bad_distractors, "distractors")
    what += f", {bad_distractors.sum():,} of {len(distractors):,} distractors left out"
    return Cleaned(way, kept, left, rows, left_rows, (what, probes_note, distractors_note))


def _noisy(features: FeatureSet, listed: NoiseList, what: str) -> tuple[Mask, str]:
    """Which rows are on the list, and a sentence on how list and rows meet."""
    if features.names is None:
        raise DataError(f"{features.path} does not name its images, cleaning goes by name; give the list of {what}")
    mask, lines = listed.matching(features.names), listed.lines_naming(features.names)
    return mask, (f"{listed.file.name}: {lines:,} of its {len(listed.names):,} lines name {mask.sum():,} of the "
                  f"{len(mask):,} {what}")


def _without(features: FeatureSet, bad: Mask, what: str) -> tuple[FeatureSet, Rows]:
    rows = np.flatnonzero(~bad)
    if not len(rows):
        raise DataError(f"all {len(bad)} {what} of {features.path} are on the noise list; evaluate them raw")
    return (SelectedFeatures(features, rows) if bad.any() else features), rows


def _replaced(probes: FeatureSet, labels: Rows, bad: Mask, seed: int) -> FeatureSet:
    """Probes of unit length in memory, each noisy one replaced by the blurred centre of its person's clean ones."""
    features, rows = probes.all(), np.flatnonzero(bad)
    blur = np.random.default_rng(seed).uniform(-1e-3, 1e-3, (len(rows), probes.dimension))
    for row, shift in zip(rows.tolist(), blur, strict=True):
        clean_rows = (labels == labels[row]) & ~bad
        centre = features[clean_rows].sum(axis=0, dtype=np.float64)
        if np.linalg.norm(centre) < 1e-6:
            why = "they cancel out" if clean_rows.any() else "there are none"
            raise DataError(f"{probes.where(row)} is on the noise list and has no centre of its person's clean images "
                            f"to take its place: {why}; clean the strict way, which leaves it out")
        features[row] = (centre + shift) / np.linalg.norm(centre + shift)
    return ArrayFeatures(features, probes.path, labels, probes.names)


def _lost(labels: Rows, bad: Mask) -> str:
    """What leaving probes out means for the people, where it means something."""
    people = np.unique(labels, return_inverse=True)[1]
    before, after = np.bincount(people), np.bincount(people[~bad], minlength=int(people.max()) + 1)
    gone, single = int((after == 0).sum()), int(((before > 1) & (after == 1)).sum())
    if not gone and not single:
        return ""
    return f" (people left without an image: {gone:,}; with one image and so without a mate: {single:,})"
