"""Whether the features of two files can be compared: they are of one model, and they are not one and the same set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.feature_set import FeatureSet, FeatureSubset
from facekd.data.features.provenance import Provenance, read_provenance
from facekd.errors import DataError
from facekd.text import path_text

SAMPLED_ROWS = 64
"""Rows that are compared to recognize a copy of a feature file."""


@dataclass(frozen=True)
class ModelMatch:
    """The models of the probes and of the features that they are compared with.

    Attributes:
        across: whether the two are of different models, because the user asked for it.
        models: name and fingerprint of each model by role, for the result file; None where it is not known.
        notes: sentences that a reader of the figures needs.
    """

    across: bool
    models: Mapping[str, Mapping[str, Any] | None]
    notes: tuple[str, ...]


def match_models(probes: FeatureSet, others: FeatureSet, role: str, *, across: bool = False) -> ModelMatch:
    """Check that probes and the features that they are compared with were embedded by one model.

    Similarities of different models mean nothing, unless one model was trained for the embeddings of the other. The
    models are known from the provenance that `facekd.evaluation.embedding.extract` writes beside its files.

    Args:
        probes: features from a file.
        others: features from another file.
        role: what the others are: ``"gallery"`` or ``"distractors"``.
        across: whether the two are meant to be of different models.

    Raises:
        DataError: they are of different models without ``across``, or of one model with it.
    """
    roles = {"probes": probes, role: others}
    made_by = {name: read_provenance(features.path) for name, features in roles.items()}
    models = {name: {"name": made.name, "sha256": made.model} if made else None for name, made in made_by.items()}
    first, second = made_by.values()
    if first is None or second is None:
        return ModelMatch(across, models, _unknown_notes(
            [path_text(roles[name].path) for name, made in made_by.items() if made is None], across))
    if first.model == second.model:
        if across:
            raise DataError(f"probes and {role} are both of {first.label}; leave --across out")
        return ModelMatch(False, models, _settings_notes(first, second, role))
    if not across:
        raise DataError(
            f"the probes {path_text(probes.path)} are of the model {first.label}, the {role} {path_text(others.path)} "
            f"of {second.label}: similarities of different models mean nothing. Embed both with one model, or give "
            "--across if one was trained for the embeddings of the other"
        )
    return ModelMatch(True, models, (f"across models: the probes are of {first.label}, the {role} of {second.label}",))


def check_different_paths(probes: Path | str, others: Path | str, role: str) -> None:
    """Check before the work that probes and what they are compared with are not one and the same path.

    Raises:
        DataError: they are.
    """
    if Path(probes).resolve() == Path(others).resolve():
        raise DataError(f"{path_text(probes)} is given both as the probes and as the {role}, so the figures would mean "
                        "nothing; give two different sets")


def check_different_sets(probes: FeatureSet, others: FeatureSet, role: str) -> None:
    """Check that probes and the features that they are compared with are not one and the same set.

    A copy is recognized by `SAMPLED_ROWS` rows, the same images embedded in another way by their digest.

    Args:
        probes: the probes.
        others: the features that they are compared with.
        role: what the others are: ``"gallery"`` or ``"distractors"``.

    Raises:
        DataError: they are one set.
    """
    if (len(probes), probes.dimension) != (len(others), others.dimension):
        return
    if _have_equal_rows(probes, others) or _are_of_the_same_images(probes, others):
        consequence = "among them each probe finds its own image first" if role == "gallery" else \
            "each probe's own image is ahead of all of its mates"
        raise DataError(f"probes and {role} are one and the same set ({path_text(probes.path)} and "
                        f"{path_text(others.path)}), so the figures would mean nothing: {consequence}; give two "
                        "different sets")


def _unknown_notes(files: Sequence[str], across: bool) -> tuple[str, ...]:
    """Return the notes for features whose model is not known."""
    if across:
        return (f"across models as given: which model made {' and '.join(files)} is not recorded there",)
    return (f"whether one model made both is not checked: no NAME.json of 'facekd embed' beside {' and '.join(files)} "
            "records it",)


def _settings_notes(first: Provenance, second: Provenance, role: str) -> tuple[str, ...]:
    if (first.flip, first.size) == (second.flip, second.size):
        return ()
    settings = [f"the {name} {'with' if made.flip else 'without'} their mirror images, at {made.size} px"
                for name, made in (("probes", first), (role, second))]
    return (f"the model embedded {settings[0]} and {settings[1]}; embed both alike for exact figures",)


def _have_equal_rows(first: FeatureSet, second: FeatureSet) -> bool:
    sampled = np.unique(np.linspace(0, len(first) - 1, SAMPLED_ROWS).astype(np.int64))
    rows, other_rows = (FeatureSubset(features, sampled).read_rows(0, len(sampled)) for features in (first, second))
    return np.array_equal(rows, other_rows)


def _are_of_the_same_images(first: FeatureSet, second: FeatureSet) -> bool:
    made = [read_provenance(features.path) for features in (first, second)]
    if made[0] is None or made[1] is None or len(first) != made[0].rows:
        return False
    return made[0].images == made[1].images
