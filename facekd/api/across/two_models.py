"""The two models of an evaluation with an old gallery: they are loaded, and checked to be comparable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from facekd.errors import DataError, ModelError
from facekd.evaluation.cross_model.feature_map import FeatureMap, read_map
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.text import path_text, shorten

GALLERY_PIXELS = "--gallery-input pixels="
"""What stands before the scaling of the old model's pixels in the option that states it."""


@dataclass(frozen=True)
class TwoModels:
    """The old model, whose embeddings are enrolled, and the new one.

    Attributes:
        old: the model of the gallery.
        new: the model of the probes.
        feature_map: the map from old to new embeddings, if the gallery is converted.
    """

    old: Embedder
    new: Embedder
    feature_map: FeatureMap | None

    @property
    def names(self) -> tuple[str, str]:
        """Return the names of the old and the new model, with their fingerprints if they have one name."""
        old, new = (shorten(model.name, 60) for model in (self.old, self.new))
        if old == new:
            old, new = (f"{name} ({model.fingerprint[:8]})"
                        for name, model in ((old, self.old), (new, self.new)))
        return old, new

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a note if the gallery is converted."""
        if self.feature_map is None:
            return ()
        facts = self.feature_map.facts
        return (f"the gallery of new/old is converted by a map ({facts.method}, fitted on {facts.images:,} images)",)

    def convert(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return old embeddings as new ones are compared with them: by the map if there is one.

        Args:
            rows: float [rows, old dimension], of unit length.
        """
        return rows if self.feature_map is None else self.feature_map.convert(rows).astype(rows.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the models for the result file."""
        return {
            "gallery_model": self.old.name, "gallery_model_sha256": self.old.fingerprint,
            "gallery_input": self.old.input_facts(), "map_sha256": self.feature_map and self.feature_map.fingerprint,
        }


def load_two_models(model: Path | str, gallery_model: Path | str, *, device: str, options: InputOptions,
                    gallery_input: InputOptions | None = None, map_file: Path | str | None = None) -> TwoModels:
    """Load the new and the old model and check that their embeddings can be compared.

    Args:
        model: path of the new model, see `facekd.models.loading.load`.
        gallery_model: path of the old model.
        device: device of the models.
        options: how an ``.onnx`` file of the new model is fed.
        gallery_input: how an ``.onnx`` file of the old model is fed.
        map_file: a map of `facekd.api.convert.fit_map` from the old model to the new one.

    Raises:
        DataError: the map cannot be used or is of other models.
        ModelError: a model cannot be loaded, both are the same one, or their embeddings differ in length.
    """
    feature_map = None if map_file is None else read_map(Path(map_file))
    new = load(model, device, **options)
    old = load(gallery_model, device, **(gallery_input or {}))
    if new.fingerprint == old.fingerprint:
        raise ModelError(f"{path_text(model)} and {path_text(gallery_model)} are one model; leave --gallery-model out, "
                         "or give the model that the gallery was enrolled with")
    if feature_map is not None:
        _check_map(Path(str(map_file)), feature_map, old, new)
    elif new.dimension != old.dimension:
        raise ModelError(
            f"{path_text(model)} gives embeddings of {new.dimension} numbers and {path_text(gallery_model)} of "
            f"{old.dimension}, which cannot be compared; distill a student in its teacher's space "
            "(student.compatible=true, the default), or fit a map with 'facekd convert --fit' and give --map")
    return TwoModels(old, new, feature_map)


def _check_map(file: Path, feature_map: FeatureMap, old: Embedder, new: Embedder) -> None:
    """Check that a map is from the old model to the new one."""
    facts = feature_map.facts
    for role, fact, embedder in (("from", facts.old, old), ("to", facts.new, new)):
        if fact.sha256 != embedder.fingerprint:
            raise DataError(f"{path_text(file)} maps {role} {fact.label}, not {role} {shorten(embedder.name, 60)} "
                            f"({embedder.fingerprint[:8]}); fit a map of these two models with 'facekd convert --fit'")
