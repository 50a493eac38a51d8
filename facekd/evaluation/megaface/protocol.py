"""The tests of MegaFace: which probes among which distractors, cleaned how, as floats or as int8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facekd import distributed as ranks
from facekd.data.containers.path_list import ListedImages
from facekd.data.face_set import FaceSet
from facekd.data.feature_set import ArrayFeatures, FeatureSet, Int8Features
from facekd.data.features.opening import open_features
from facekd.data.megaface.feature_tree import ENDING
from facekd.data.megaface.noise_lists import Noise
from facekd.data.megaface.template_lists import (
    TemplateList,
    distractor_list,
    read_distractor_list,
    read_probe_list,
    sizes_in,
)
from facekd.data.opening import open_faces
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.embedding.extract import extract
from facekd.evaluation.megaface.noise_handling import WAYS, Cleaned, clean
from facekd.models.embedder import Embedder

PROBES = "facescrub_features_list.json"
KINDS = {"float": (False, False), "int8-probes": (True, False), "int8": (True, True)}
"""Which of probes and distractors are rounded to int8."""


@dataclass(frozen=True)
class Source:
    """Where probes and distractors come from.

    Attributes:
        probes: a face set; with ``lists`` the folder its paths start from; without an embedder features.
        distractors: likewise.
        embedder: the model, for images.
        flip: sum image and mirror.
        store: the beginning of the names of files to keep embeddings in; None keeps them in memory.
        lists: the kit's ``templatelists``.
        ending: of the feature files in the kit's trees.
        sizes: numbers of distractors, by the lists; none means all.
        set_index: which of the kit's sets of distractors.
    """

    probes: Path
    distractors: Path
    embedder: Embedder | None = None
    flip: bool = True
    store: Path | None = None
    lists: Path | None = None
    ending: str | None = None
    sizes: Sequence[int] = ()
    set_index: int = 1

    def open(self) -> Iterator[tuple[int | None, FeatureSet, FeatureSet]]:
        """The size (None without lists), the probes and the distractors of each.

        Raises:
            DataError: lists, images or features cannot be used.
            SetupError: the disk is full.
        """
        if self.lists is None:
            yield None, self._features(self.probes, "probes"), self._features(self.distractors, "distractors")
            return
        probes = self._features(self.probes, "probes", read_probe_list(self.lists / PROBES))
        for size in self.sizes or sizes_in(self.lists, self.set_index):
            listed = read_distractor_list(distractor_list(self.lists, size, self.set_index))
            yield size, probes, self._features(self.distractors, f"distractors-{size}", listed)

    def _features(self, path: Path, which: str, listed: TemplateList | None = None) -> FeatureSet:
        if self.embedder is None:
            found = open_features(path, listed.paths if listed else None, self.ending or ENDING)
        else:
            images = ListedImages(path, listed.paths, listed.labels) if listed else open_faces(path)
            found = self._embedded(self.embedder, images, which)
        if listed and listed.labels is not None:
            found.labels = listed.labels
        return found

    def _embedded(self, embedder: Embedder, images: FaceSet, which: str) -> FeatureSet:
        if self.store is None:
            rows = embed_images(embedder, images.read, images.where, len(images), self.flip)
            names = [images.name(index) for index in range(len(images))]
            return ArrayFeatures(rows, images.path, images.labels, names)
        file = self.store.with_name(f"{self.store.name}-{which}.npy")
        if ranks.place()[0] == 0:
            extract(embedder, images, file, self.flip)
        ranks.wait()
        return open_features(file)


@dataclass(frozen=True)
class Test:
    """One test.

    Attributes:
        title: what tells it from the others of a call, e.g. ``100000-strict``; empty where it is alone.
        size: distractors of the list, before any cleaning.
        listed: probes of the list, before any cleaning.
        cleaned: what is left of both, and how they were cleaned.
        kind: a key of `KINDS`.
        probes: to be identified.
        distractors: among these.
    """

    title: str
    size: int
    listed: int
    cleaned: Cleaned
    kind: str
    probes: FeatureSet
    distractors: FeatureSet


def tests(source: Source, noise: Noise | None, cleaning: str, int8: bool) -> Iterator[Test]:
    """Every size, way of cleaning and kind of numbers.

    Args:
        source: probes and distractors.
        noise: InsightFace's noise lists.
        cleaning: one of `WAYS`, or ``all`` for all that can be had.
        int8: also int8 probes among float and among int8 distractors.

    Raises:
        DataError: inputs cannot be used.
    """
    ways = (WAYS if noise else WAYS[:1]) if cleaning == "all" else (cleaning,)
    opened = list(source.open())
    for size, probes, distractors in opened:
        for way in ways:
            cleaned = clean(probes, distractors, noise, way)
            for kind, small in KINDS.items() if int8 else [("float", (False, False))]:
                parts = [str(size)] * (len(opened) > 1) + [way] * (len(ways) > 1) + [kind] * (kind != "float")
                ours, others = (Int8Features(features) if rounded else features for features, rounded in
                                zip((cleaned.probes, cleaned.distractors), small, strict=True))
                yield Test("-".join(parts), size or len(distractors), len(probes), cleaned, kind, ours, others)
