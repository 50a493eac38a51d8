"""The tests of MegaFace: each combination of distractor list, noise mode and numeric precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facekd import distributed
from facekd.data.containers.path_list import ListedImages
from facekd.data.face_set import FaceSet
from facekd.data.feature_set import ArrayFeatures, FeatureSet, Int8Features
from facekd.data.features.opening import open_features
from facekd.data.megaface.feature_tree import DEFAULT_SUFFIX
from facekd.data.megaface.noise_lists import NoiseLists
from facekd.data.megaface.template_lists import (
    TemplateList,
    distractor_list_path,
    list_distractor_sizes,
    read_distractor_list,
    read_probe_list,
)
from facekd.data.opening import open_faces
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.embedding.extract import extract
from facekd.evaluation.megaface.noise_handling import NOISE_MODES, FilteredSets, apply_noise_list
from facekd.models.embedder import Embedder

PROBES = "facescrub_features_list.json"
PRECISIONS = {"float": (False, False), "int8-probes": (True, False), "int8": (True, True)}
"""Which of probes and distractors are quantized to int8."""


@dataclass(frozen=True)
class MegaFaceInputs:
    """The probes and distractors: face sets with an embedder, features without one.

    Attributes:
        probes: a face set; with ``template_lists`` the folder of its relative paths; without an embedder features.
        distractors: a face set; with ``template_lists`` the folder of its relative paths; without an embedder features.
        embedder: the model, for images.
        flip: whether to sum the embeddings of image and mirror image.
        feature_prefix: first part of the names of the files that keep the embeddings; None keeps them in memory.
        template_lists: the ``templatelists`` folder of the kit.
        suffix: end of the names of the feature files in the kit's trees.
        sizes: numbers of distractors of the lists to use; empty means all.
        set_index: number of the kit's set of distractors.
    """

    probes: Path
    distractors: Path
    embedder: Embedder | None = None
    flip: bool = True
    feature_prefix: Path | None = None
    template_lists: Path | None = None
    suffix: str | None = None
    sizes: Sequence[int] = ()
    set_index: int = 1

    def open(self) -> Iterator[tuple[int | None, FeatureSet, FeatureSet]]:
        """Yield the size (None without lists), the probes and the distractors of each list.

        Raises:
            DataError: lists, images or features cannot be used.
            SetupError: the disk is full.
        """
        if self.template_lists is None:
            yield None, self._features(self.probes, "probes"), self._features(self.distractors, "distractors")
            return
        probes = self._features(self.probes, "probes", read_probe_list(self.template_lists / PROBES))
        for size in self.sizes or list_distractor_sizes(self.template_lists, self.set_index):
            template_list = read_distractor_list(distractor_list_path(self.template_lists, size, self.set_index))
            yield size, probes, self._features(self.distractors, f"distractors-{size}", template_list)

    def _features(self, path: Path, name: str, template_list: TemplateList | None = None) -> FeatureSet:
        """Open features, or embed images; ``name`` is the last part of the name of a file of embeddings."""
        paths = template_list.paths if template_list else None
        labels = template_list.labels if template_list else None
        if self.embedder is None:
            features = open_features(path, paths, self.suffix or DEFAULT_SUFFIX)
        else:
            images = open_faces(path) if paths is None else ListedImages(path, paths, labels)
            features = self._embed(self.embedder, images, name)
        if labels is not None:
            features.labels = labels
        return features

    def _embed(self, embedder: Embedder, images: FaceSet, name: str) -> FeatureSet:
        if self.feature_prefix is None:
            names = [images.image_name(index) for index in range(len(images))]
            return ArrayFeatures(embed_images(embedder, images, self.flip), images.path, images.labels, names)
        file = self.feature_prefix.with_name(f"{self.feature_prefix.name}-{name}.npy")
        if distributed.is_main_process():
            extract(embedder, images, file, self.flip)
        distributed.barrier()
        return open_features(file)


@dataclass(frozen=True)
class MegaFaceTest:
    """One test.

    Attributes:
        title: distinguishes the test from the others of a call, e.g. ``100000-strict``; empty for a single test.
        listed_distractors: number of distractors in the list, before any filtering.
        listed_probes: number of probes in the list, before any filtering.
        filtered: the filtered probes and distractors, with their rows in the lists.
        precision: a key of `PRECISIONS`.
        probes: the probes to identify, in this precision.
        distractors: the distractors, in this precision.
    """

    title: str
    listed_distractors: int
    listed_probes: int
    filtered: FilteredSets
    precision: str
    probes: FeatureSet
    distractors: FeatureSet


def megaface_tests(inputs: MegaFaceInputs, noise: NoiseLists | None, noise_mode: str,
                   int8: bool) -> Iterator[MegaFaceTest]:
    """Yield a test for every distractor list, noise mode and precision.

    Args:
        inputs: the probes and distractors.
        noise: InsightFace's noise lists.
        noise_mode: one of `NOISE_MODES`, or ``all`` for all that the given noise lists allow.
        int8: whether to test int8 probes among float and among int8 distractors as well.

    Raises:
        DataError: inputs cannot be used.
    """
    modes = _modes(noise, noise_mode)
    precisions = PRECISIONS if int8 else {"float": PRECISIONS["float"]}
    opened = list(inputs.open())
    for size, probes, distractors in opened:
        for mode in modes:
            filtered = apply_noise_list(probes, distractors, noise, mode)
            for precision, (int8_probes, int8_distractors) in precisions.items():
                title = []
                if len(opened) > 1:
                    title.append(str(size))
                if len(modes) > 1:
                    title.append(mode)
                if precision != "float":
                    title.append(precision)
                yield MegaFaceTest(
                    title="-".join(title),
                    listed_distractors=size or len(distractors),
                    listed_probes=len(probes),
                    filtered=filtered,
                    precision=precision,
                    probes=Int8Features(filtered.probes) if int8_probes else filtered.probes,
                    distractors=Int8Features(filtered.distractors) if int8_distractors else filtered.distractors,
                )


def _modes(noise: NoiseLists | None, noise_mode: str) -> Sequence[str]:
    if noise_mode != "all":
        return (noise_mode,)
    return NOISE_MODES if noise else NOISE_MODES[:1]
