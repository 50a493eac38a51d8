"""``facekd eval megaface --gallery-model``: probes of a new model among mates and distractors of an old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from typing_extensions import Unpack

from facekd.api.across.two_models import GALLERY_PIXELS, TwoModels, load_two_models
from facekd.api.evaluate.options import check_megaface_options
from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.data.feature_set import FeatureSet
from facekd.data.megaface.noise_lists import read_noise_lists
from facekd.distributed import init_distributed, is_main_process, local_device
from facekd.evaluation.cross_model.converted_features import ConvertedFeatures
from facekd.evaluation.cross_model.result import COMPARED, CrossModelResult
from facekd.evaluation.embedding.plausibility import check_faces
from facekd.evaluation.identification.comparison import compare_identification
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.megaface.protocol import MegaFaceInputs, MegaFaceTest, megaface_tests
from facekd.io.locks import lock_output
from facekd.models.input_format import InputOptions
from facekd.utils.device import resolve_device

NOTE = "the mates in new/old are the probes' images by the old model; of two images of a person the first is the probe"
RESAMPLES = 1000


def megaface_across(
    model: Path | str, gallery_model: Path | str, probes: Path | str, distractors: Path | str, *,
    gallery_input: InputOptions | None = None, map_file: Path | str | None = None,
    template_lists: Path | str | None = None, sizes: Sequence[int] = (), set_index: int | None = None,
    noise_lists: Path | str | None = None, noise_mode: str | None = None, features: Path | str | None = None,
    json: Path | str | None = None, flip: bool = True, device: str = "auto", name: str | None = None,
    **options: Unpack[InputOptions],
) -> dict[str, CrossModelResult[IdentificationResult]]:
    """Evaluate identification among distractors by an old model, by a new one, and of new probes in an old gallery.

    Several processes of torchrun share the distractors. The first process returns and writes the results.

    Args:
        model: path of the new model, see `facekd.models.loading.load`.
        gallery_model: path of the old model, which embeds distractors and mates of new/old.
        probes: a face set; with ``template_lists`` the root folder of its paths.
        distractors: a face set or a root folder, as for ``probes``.
        gallery_input: how an ``.onnx`` file of the old model is fed, see `InputOptions`.
        map_file: a map of ``facekd convert --fit`` from the old model to the new one; new/old then compares with
            converted embeddings.
        template_lists: see `facekd.api.evaluate.megaface.megaface`, also for the arguments up to ``features``.
        sizes: numbers of distractors.
        set_index: number of the kit's set of distractors.
        noise_lists: folder with InsightFace's noise lists.
        noise_mode: how mislabeled images are handled.
        features: folder for the embeddings of both models; a second call continues or reuses them.
        json: a result file to write, ``NAME-TITLE.json`` if there are several. A run folder gets one in ``results/`` in
            any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models and of the scores.
        name: name of the result, by default ``megaface``.
        options: how an ``.onnx`` file of the new model is fed.

    Returns:
        the results by title: the name, with size and noise mode if there are several. Empty in all processes of
        torchrun but the first.

    Raises:
        DataError: the inputs or the map cannot be used, an argument has no effect, or the name is no plain file name.
        ModelError: a model cannot be loaded, both are one model, or their embeddings differ in length without a map.
        SetupError: the result cannot be written, another process writes it, or the device does not exist.
    """
    init_distributed()
    check_megaface_options(
        probes, distractors, has_model=True, template_lists=template_lists, suffix=None, sizes=sizes,
        set_index=set_index, noise_lists=noise_lists, noise_mode=noise_mode, features=features, out=None, json=json,
        across=False, flip=flip)
    name = result_name(name, "megaface")
    with lock_output(features), result_output("across", name, model=model, json=json,
                                              inputs=(probes, distractors, gallery_model, map_file)):
        torch_device = local_device(resolve_device(device))
        models = load_two_models(model, gallery_model, device=device, options=options,
                                 gallery_input=gallery_input, map_file=map_file)
        old, new = (MegaFaceInputs(
            Path(probes), Path(distractors), embedder, flip, Path(features) / f"{name}{ending}" if features else None,
            Path(template_lists) if template_lists else None, None, sizes, 1 if set_index is None else set_index,
        ) for embedder, ending in ((models.old, "-old"), (models.new, "")))
        if is_main_process():
            check_faces(models.new, new.probe_images())
            check_faces(models.old, old.probe_images(), option=GALLERY_PIXELS)
        noise = read_noise_lists(Path(noise_lists)) if noise_lists else None
        mode = noise_mode or "all"
        results = {}
        for old_test, new_test in zip(megaface_tests(old, noise, mode, False), megaface_tests(new, noise, mode, False),
                                      strict=True):
            result = _identify(models, old_test, new_test, torch_device)
            if result is None:  # not the first process
                continue
            title = f"{name}-{new_test.title}" if new_test.title else name
            path = Path(json) if json else None
            file = path.with_name(f"{path.stem}-{new_test.title}{path.suffix}") if path and new_test.title else path
            content = {**result.to_dict(), **models.to_dict(), "evaluation": "megaface", "flip": flip,
                       "noise_mode": new_test.filtered.mode}
            save_result("across", title, content, model=model, embedder=models.new, json=file)
            results[title] = result
    return results


def _identify(models: TwoModels, old: MegaFaceTest, new: MegaFaceTest,
              device: torch.device) -> CrossModelResult[IdentificationResult] | None:
    """Make one test in the three combinations; None in all processes but the first."""

    def in_gallery(features: FeatureSet) -> FeatureSet:
        """Return old features as new probes meet them."""
        return features if models.feature_map is None else ConvertedFeatures(features, models.feature_map)

    measured = {
        "old/old": identify(old.probes, old.distractors, device=device),
        "new/new": identify(new.probes, new.distractors, device=device),
        "new/old": identify(new.probes, in_gallery(old.distractors), enrolled=in_gallery(old.probes), device=device),
    }
    results = {combination: result for combination, result in measured.items() if result is not None}
    if len(results) < len(measured):
        return None
    mixed = results["new/old"]
    differences = {}
    for other in COMPARED:
        figures = [(metric, value, second) for metric, (value, _) in mixed.figures().items()
                   if value is not None and (second := results[other].figures()[metric][0]) is not None]
        fars = [metric.rpartition(" ")[2] for metric, _, _ in figures if metric.startswith("TAR")]
        differences[other] = compare_identification(mixed.identity_counts, results[other].identity_counts, figures,
                                                    fars, RESAMPLES)
    noise_notes = new.filtered.notes if new.filtered.mode != "raw" else ()
    results = {combination: replace(result, notes=(*noise_notes, *result.notes))
               for combination, result in results.items()}
    return CrossModelResult(*models.names, results, differences, notes=(*models.notes, NOTE))
