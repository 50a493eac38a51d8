"""``facekd eval groups``: error rates by groups of people at the threshold that a model is shipped with."""

from __future__ import annotations

import math
from pathlib import Path

from typing_extensions import Unpack

from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.api.evaluate.stored_thresholds import find_threshold, missing_threshold
from facekd.data.opening import open_pairs
from facekd.data.pairs.groups import GroupedPairs, group_by_column, group_by_file
from facekd.data.pairs.rfw_bfw import is_bfw, read_bfw, read_rfw
from facekd.errors import DataError
from facekd.evaluation.groups.rates import measure_groups
from facekd.evaluation.groups.result import GroupsResult
from facekd.evaluation.statistics.far import parse_far
from facekd.evaluation.verification.verify import pair_features, pair_scores
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.text import path_text

DEFAULT_FAR = "1e-3"


def groups(model: Path | str, pairs: Path | str, *, images: Path | str | None = None,
           group_file: Path | str | None = None, far: str | None = None, threshold: float | None = None,
           result: Path | str | None = None, json: Path | str | None = None, flip: bool = True, device: str = "auto",
           name: str | None = None, **options: Unpack[InputOptions]) -> GroupsResult:
    """Measure false match and false non-match rates of each group at one threshold.

    Args:
        model: path of the model, see `facekd.models.loading.load`.
        pairs: a pair CSV with the column ``group``; with ``group_file`` any list of files; the folder of RFW; or the
            table of BFW.
        images: the root folder of the paths in the list (not for RFW).
        group_file: a CSV ``path,group`` or ``identity,group``.
        far: false accept rate, by default 1e-3, of the threshold that is kept with the model, see
            `facekd.api.evaluate.stored_thresholds`.
        threshold: similarity threshold in place of that of ``far``.
        result: a result file of `facekd.api.evaluate.verify.verify` with this model.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image; of a threshold that is kept with the model it is as it
            was measured.
        device: device of torch models.
        name: name of the result, by default the name of the pair list.
        options: how an ``.onnx`` file is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        DataError: pairs, images or groups cannot be used, no threshold is known, or an argument has no effect.
        ModelError: the model cannot be loaded.
        SetupError: the result cannot be written, or another process writes it.
    """
    _check_arguments(far, threshold, result, flip)
    name = result_name(name, Path(pairs).resolve().stem)
    with result_output("groups", name, model=model, json=json, inputs=(pairs, images, group_file, result)):
        embedder = load(model, device, **options)
        value, source, flip = _threshold(Path(model), embedder, far or DEFAULT_FAR, threshold,
                                         Path(result) if result else None, flip)
        grouped = open_grouped_pairs(Path(pairs), Path(images) if images else None,
                                     Path(group_file) if group_file else None)
        features = pair_features(embedder, grouped.pairs, flip)
        measured = measure_groups(features, grouped, pair_scores(features, grouped.pairs), value,
                                  far=None if threshold is not None else far or DEFAULT_FAR, source=source)
        content = {**measured.to_dict(), "flip": flip, "pairs_file": str(pairs)}
        save_result("groups", name, content, model=model, embedder=embedder, json=json)
    return measured


def open_grouped_pairs(pairs: Path, images: Path | None, group_file: Path | None) -> GroupedPairs:
    """Open a pair list with groups in any of the supported formats, see `groups`.

    Raises:
        DataError: the list or the groups cannot be used, or an argument has no effect.
    """
    if pairs.is_dir():
        if images is not None or group_file is not None:
            raise DataError(f"{path_text(pairs)} is a folder of RFW, which holds images and groups; leave --images and "
                            "--groups out, or give a pair list")
        return read_rfw(pairs)
    if images is None:
        raise DataError(f"{path_text(pairs)} needs the folder that its paths start from; give it by --images (groups "
                        "are of images that are files)")
    if group_file is None and pairs.suffix.lower() == ".csv" and is_bfw(pairs):
        return read_bfw(pairs, images)
    pair_set = open_pairs(pairs, images)
    return group_by_file(pair_set, images, group_file) if group_file else group_by_column(pair_set, images)


def _check_arguments(far: str | None, threshold: float | None, result: Path | str | None, flip: bool) -> None:
    if threshold is None:
        parse_far(far or DEFAULT_FAR)
        if not flip:
            raise DataError("--no-flip has no effect: a threshold that is kept with the model says how it was "
                            "measured; leave it out, or give --threshold")
        return
    if not math.isfinite(threshold):
        raise DataError(f"--threshold {threshold} is no similarity; give a number between -1 and 1")
    if far is not None or result is not None:
        raise DataError("--threshold replaces the threshold of --far and --result; give one or the other")


def _threshold(model: Path, embedder: Embedder, far: str, threshold: float | None, result: Path | None, flip: bool
               ) -> tuple[float, str, bool]:
    """Return the threshold, where it comes from, and whether mirrored images are added."""
    if threshold is not None:
        return threshold, "as given", flip
    found = find_threshold(model, embedder, far, result)
    if found is None:
        raise DataError(missing_threshold(model, far))
    return found[0], f"from {found[1].source}", found[1].flip
