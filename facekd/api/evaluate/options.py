"""Checks of arguments that have an effect in some evaluations only; one without an effect is refused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from facekd.data.megaface.feature_names import check_suffix
from facekd.errors import DataError
from facekd.evaluation.embedding.mixed_models import check_different_paths
from facekd.io.outputs import check_writable
from facekd.models.input_format import NO_MODEL, refuse_options
from facekd.text import path_text

FROM_FEATURES = "a model embeds both sets of images; it is for features, without --model"
"""Why options for feature files are refused beside a model."""


def model_options(flip: bool, device: str = "auto") -> dict[str, object]:
    """Return those arguments for a model that differ from their default, by option, for `refuse_options`."""
    return {"no-flip": None if flip else True, "device": None if device == "auto" else device}


def check_megaface_options(
    probes: Path | str, distractors: Path | str, *, has_model: bool, template_lists: Path | str | None,
    suffix: str | None, sizes: Sequence[int], set_index: int | None, noise_lists: Path | str | None,
    noise_mode: str | None, features: Path | str | None, out: Path | str | None, json: Path | str | None,
    across: bool, flip: bool,
) -> None:
    """Check the arguments of `facekd.api.evaluate.megaface.megaface` before the work.

    Raises:
        DataError: two arguments contradict each other, or a value makes no sense.
        ModelError: an argument has no effect beside the others.
        SetupError: an output cannot be written.
    """
    if has_model:
        refuse_options({"across": across or None}, FROM_FEATURES)
    else:
        refuse_options({**model_options(flip), "features": features}, NO_MODEL)
    if suffix is not None:
        check_suffix(suffix)
        if not out and (has_model or not (os.path.isdir(probes) or os.path.isdir(distractors))):
            refuse_options({"suffix": suffix}, "no tree of feature files is given, and no --out")
    if template_lists is None:
        refuse_options({"sizes": sizes or None, "set": set_index}, "it selects lists of --template-lists")
        check_different_paths(probes, distractors, "distractors")
    if noise_lists is None:
        refuse_options({"noise-mode": noise_mode}, "it needs --noise-lists")
    if len(set(sizes)) < len(sizes):
        raise DataError(f"--sizes {' '.join(map(str, sizes[:10]))} names a size twice; name each once")
    if json and Path(json).suffix == ".npz":
        raise DataError(f"--json {path_text(json)} would be replaced by the counts, NAME.npz; give a name that ends in "
                        ".json")
    for folder in (features, out):
        if folder:
            check_writable(folder, folder=True)
