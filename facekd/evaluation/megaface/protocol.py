"""The tests of MegaFace: each combination of distractor list, noise mode and numeric precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from facekd import distributed
from facekd.data.containers.path_list import ListedImages
from facekd.data.face_set import FaceSet
from facekd.data.feature_set import ArrayFeatures, FeatureSet, Int8Features
from facekd.data.features.opening import open_features
from facekd.data.megaface.feature_names import DEFAULT_SUFFIX
from facekd.data.megaface.noise_lists import NoiseLists
from facekd.data.megaface.template_lists import (
    TemplateList,
    distractor_list_path,
    list_distractor_sizes,
    read_distractor_list,
    read_probe_list,
)
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.embedding.extract import extract
from facekd.evaluation.embedding.mixed_models import ModelMatch, check_different_sets, match_models
from facekd.evaluation.megaface.noise_handling import NOISE_MODES, FilteredSets, apply_noise_list
from facekd.models.embedder import Embedder
from facekd.text import path_text

PROBES = "facescrub_features_list.json"
EMBEDDING_TIMEOUT = timedelta(days=30)
"""How long the other processes wait while the first one embeds images into a file."""
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
        across: whether features are meant to be of different models.
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
    across: bool = False

    def open(self) -> Iterator[tuple[int | None, FeatureSet, FeatureSet]]:
        """Yield the size (None without lists), the probes and the distractors of each list.

        Raises:
            DataError: lists, images or features cannot be used, or there is no list.
            SetupError: features cannot be written.
        """
        if self.template_lists is None:
            yield None, self._features(self.probes, "probes"), self._features(self.distractors, "distractors")
            return
        sizes = self.sizes or list_distractor_sizes(self.template_lists, self.set_index)
        if not sizes:
            raise DataError(f"{path_text(self.template_lists)} has no distractor list of set {self.set_index}; choose "
                            "a set that it has, or add megaface_features_list.json_SIZE_SET")
        lists = [distractor_list_path(self.template_lists, size, self.set_index) for size in sizes]
        probes = self._features(self.probes, "probes", read_probe_list(self.template_lists / PROBES))
        for size, file in zip(sizes, lists, strict=True):
            template_list = read_distractor_list(file)
            yield size, probes, self._features(self.distractors, f"distractors-{size}", template_list)

    def probe_images(self) -> FaceSet:
        """Return the images of the probes; only with an embedder."""
        if self.template_lists is None:
            return open_faces(self.probes, labels=True)
        template_list = read_probe_list(self.template_lists / PROBES)
        return ListedImages(self.probes, template_list.paths, template_list.labels)

    def match(self, probes: FeatureSet, distractors: FeatureSet) -> ModelMatch | None:
        """Check that probes and distractors can be compared; return their models, None with one embedder for both.

        Raises:
            DataError: they are one and the same set, or of different models.
        """
        check_different_sets(probes, distractors, "distractors")
        return None if self.embedder else match_models(probes, distractors, "distractors", across=self.across)

    def _features(self, path: Path, name: str, template_list: TemplateList | None = None) -> FeatureSet:
        """Open features, or embed images; ``name`` is the last part of the name of a file of embeddings."""
        paths = template_list.paths if template_list else None
        labels = template_list.labels if template_list else None
        if self.embedder is None:
            features = open_features(path, paths, self.suffix or DEFAULT_SUFFIX)
        else:
            needs_labels = True if path == self.probes else None  # distractors are nobody's mates
            images = open_faces(path, labels=needs_labels) if paths is None else ListedImages(path, paths, labels)
            features = self._embed(self.embedder, images, name)
        if labels is not None:
            features.labels = labels
        return features

    def _embed(self, embedder: Embedder, images: FaceSet, name: str) -> FeatureSet:
        if self.feature_prefix is None:
            names = [images.image_name(index) for index in range(len(images))]
            rows = embed_images(embedder, images, self.flip, shared=True)
            return ArrayFeatures(rows, images.path, images.labels if images.is_labeled else None, names)
        file = self.feature_prefix.with_name(f"{self.feature_prefix.name}-{name}.npy")
        distributed.run_on_main_and_broadcast(partial(_extract, embedder, images, file, self.flip),
                                              timeout=EMBEDDING_TIMEOUT)
        return open_features(file)


def _extract(embedder: Embedder, images: FaceSet, file: Path, flip: bool) -> None:
    """Embed images into a file; the features themselves are opened by every process."""
    extract(embedder, images, file, flip)


@dataclass(frozen=True)
class MegaFaceTest:
    """One test.

    Attributes:
        title: distinguishes the test from the others of a call, e.g. ``100000-strict``; empty for a single test.
        listed_distractors: number of distractors in the list, before any filtering.
        listed_probes: number of probes in the list, before any filtering.
        filtered: the filtered probes and distractors, with their rows in the lists.
        precision: a key of `PRECISIONS`.
        model_notes: sentences about the models of probes and distractors.
        models: see `ModelMatch.models`; None with one embedder for both.
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
    model_notes: tuple[str, ...] = ()
    models: Mapping[str, Mapping[str, Any] | None] | None = None


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
        match = inputs.match(probes, distractors)
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
                    model_notes=match.notes if match else (),
                    models=match.models if match else None,
                )


def _modes(noise: NoiseLists | None, noise_mode: str) -> Sequence[str]:
    if noise_mode != "all":
        return (noise_mode,)
    return NOISE_MODES if noise else NOISE_MODES[:1]
