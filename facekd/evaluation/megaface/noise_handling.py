"""Three modes to handle wrong images among MegaFace's probes and distractors: raw, compatible, strict.

``raw`` changes nothing.

``compatible`` does the same as InsightFace's remove_noises.py, on which figures marked "(R)" in papers are based. That
script adds one dimension to every feature, 0 for a clean image. A probe on the noise list is replaced by the sum of the
clean features of its person plus noise drawn from U(-0.001, 0.001), normalized. A distractor on the list gets 100 in
the added dimension, so it is farther in Euclidean distance from every probe than any clean distractor. Among unit
vectors that order is the one of the cosine similarity without these distractors, so here they are left out and the
dimension is not needed. Two differences remain: a center is computed from unit features, whatever the length of the
stored ones, and false accept rates count the remaining impostor pairs (the published list removes at most 0.07 % of a
million distractors).

``compatible`` is optimistic: the center of a person's images is closer to each of them than any single image is. So the
replaced probes are found, and are found as mates, more often than clean photographs would be. ``strict`` leaves out the
probes on the list as well as the distractors, and replaces none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facekd.data.feature_set import ArrayFeatures, FeatureSet, FeatureSubset
from facekd.data.megaface.noise_lists import NoiseList, NoiseLists
from facekd.errors import DataError, did_you_mean
from facekd.evaluation.types import BoolArray, IntArray

NOISE_MODES = ("raw", "compatible", "strict")


@dataclass(frozen=True, eq=False)
class FilteredSets:
    """Probes and distractors after the noise lists were applied in one mode.

    Attributes:
        mode: one of `NOISE_MODES`.
        probes: the probes to evaluate, including replaced ones.
        distractors: the distractors to evaluate.
        probe_rows: int64 [probes], the row of each in the unfiltered probes.
        distractor_rows: int64 [distractors], the row of each in the unfiltered distractors.
        notes: sentences on the changes, with counts.
    """

    mode: str
    probes: FeatureSet
    distractors: FeatureSet
    probe_rows: IntArray
    distractor_rows: IntArray
    notes: tuple[str, ...]


def apply_noise_list(probes: FeatureSet, distractors: FeatureSet, noise: NoiseLists | None, mode: str,
                     seed: int = 0) -> FilteredSets:
    """Apply the noise lists in one of the three modes.

    Args:
        probes: the probes, with labels and names.
        distractors: the distractors, with names; only the names are read.
        noise: the lists; ``raw`` does not need them.
        mode: one of `NOISE_MODES`.
        seed: seed of the noise that ``compatible`` adds.

    Raises:
        DataError: the mode is unknown; lists, labels or names are missing; no probe or distractor remains; or, for
            ``compatible``, a person has no clean image, or clean features that cancel out.
    """
    if mode not in NOISE_MODES:
        raise DataError(f"noise mode '{mode}' is not known; {did_you_mean(mode, NOISE_MODES)}")
    if mode == "raw":
        note = f"raw: all {len(probes):,} probes and {len(distractors):,} distractors as they are"
        return FilteredSets(mode, probes, distractors, np.arange(len(probes)), np.arange(len(distractors)), (note,))
    if noise is None:
        raise DataError(f"noise mode '{mode}' needs the noise lists; give the folder that holds them")
    if probes.labels is None:
        raise DataError(f"{probes.path} has no labels; give the list of probes")
    noisy_probes, probes_note = _find_noisy(probes, noise.probes, "probes")
    noisy_distractors, distractors_note = _find_noisy(distractors, noise.distractors, "distractors")
    people = len(np.unique(probes.labels[noisy_probes]))
    summary = f"{mode}: {noisy_probes.sum():,} of {len(probes):,} probes ({people:,} people) "
    if mode == "compatible":
        filtered_probes = _replace_by_centers(probes, probes.labels, noisy_probes, seed)
        probe_rows: IntArray = np.arange(len(probes))
        summary += "replaced by the center of their person's other images"
    else:
        filtered_probes, probe_rows = _remove(probes, noisy_probes, "probes")
        summary += "left out" + _describe_lost_people(probes.labels, noisy_probes)
    filtered_distractors, distractor_rows = _remove(distractors, noisy_distractors, "distractors")
    summary += f", {noisy_distractors.sum():,} of {len(distractors):,} distractors left out"
    return FilteredSets(
        mode=mode,
        probes=filtered_probes,
        distractors=filtered_distractors,
        probe_rows=probe_rows,
        distractor_rows=distractor_rows,
        notes=(summary, probes_note, distractors_note),
    )


def _find_noisy(features: FeatureSet, noise_list: NoiseList, role: str) -> tuple[BoolArray, str]:
    """Return which rows are on the list, and a sentence with the numbers of matching rows and lines."""
    if features.image_names is None:
        raise DataError(f"{features.path} does not name its images, as the noise lists need; give the list of {role}")
    noisy = noise_list.match(features.image_names)
    lines = noise_list.count_lines_naming(features.image_names)
    return noisy, (f"{noise_list.file.name}: {lines:,} of its {len(noise_list.names):,} lines name {noisy.sum():,} of "
                   f"the {len(noisy):,} {role}")


def _remove(features: FeatureSet, noisy: BoolArray, role: str) -> tuple[FeatureSet, IntArray]:
    rows = np.flatnonzero(~noisy)
    if not len(rows):
        raise DataError(f"all {len(noisy)} {role} of {features.path} are on the noise list; evaluate them raw")
    return (FeatureSubset(features, rows) if noisy.any() else features), rows


def _replace_by_centers(probes: FeatureSet, labels: IntArray, noisy: BoolArray, seed: int) -> FeatureSet:
    """Return probes of unit length in memory, each noisy one replaced by its person's clean center plus noise."""
    features = probes.all_l2_normalized_rows()
    noisy_rows = np.flatnonzero(noisy)
    noise = np.random.default_rng(seed).uniform(-1e-3, 1e-3, (len(noisy_rows), probes.dimension))
    for row, shift in zip(noisy_rows.tolist(), noise, strict=True):
        clean_rows = (labels == labels[row]) & ~noisy
        center = features[clean_rows].sum(axis=0, dtype=np.float64)
        if np.linalg.norm(center) < 1e-6:
            reason = "they cancel out" if clean_rows.any() else "there are none"
            raise DataError(f"{probes.location(row)} is on the noise list and cannot be replaced by the center of its "
                            f"person's clean images: {reason}; use the strict mode, which leaves it out")
        features[row] = (center + shift) / np.linalg.norm(center + shift)
    return ArrayFeatures(features, probes.path, labels, probes.image_names)


def _describe_lost_people(labels: IntArray, noisy: BoolArray) -> str:
    """Return how many people lose all images, or all images but one; empty if there are none."""
    identity = np.unique(labels, return_inverse=True)[1]
    before = np.bincount(identity)
    after = np.bincount(identity[~noisy], minlength=int(identity.max()) + 1)
    without_image = int((after == 0).sum())
    without_mate = int(((before > 1) & (after == 1)).sum())
    if not without_image and not without_mate:
        return ""
    return (f" (people left without an image: {without_image:,}; with one image and so without a mate: "
            f"{without_mate:,})")
