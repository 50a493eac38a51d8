"""``facekd eval verify --gallery-model``: 1:1 verification of a new model against embeddings of an old one."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Unpack

from facekd.api.across.two_models import GALLERY_PIXELS, load_two_models
from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.api.evaluate.verify import check_images
from facekd.data.opening import open_pairs
from facekd.evaluation.cross_model.result import CrossModelResult
from facekd.evaluation.cross_model.verification import verify_pairs_across_models
from facekd.evaluation.embedding.plausibility import check_pairs
from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.verify import pair_features
from facekd.models.input_format import InputOptions


def verify_across(model: Path | str, gallery_model: Path | str, pairs: Path | str, *,
                  images: Path | str | None = None, gallery_input: InputOptions | None = None,
                  map_file: Path | str | None = None, json: Path | str | None = None, flip: bool = True,
                  device: str = "auto", name: str | None = None,
                  **options: Unpack[InputOptions]) -> CrossModelResult[VerificationResult]:
    """Verify the pairs of a list by an old model, by a new one, and with one image of each pair by each.

    Args:
        model: path of the new model, see `facekd.models.loading.load`.
        gallery_model: path of the old model, with which people were enrolled, for example the teacher.
        pairs: CSV ``fold,path1,path2,same``, LFW's pairs.txt, or an InsightFace ``.bin``.
        images: the root folder of the paths in the list (not for ``.bin``).
        gallery_input: how an ``.onnx`` file of the old model is fed, see `InputOptions`.
        map_file: a map of ``facekd convert --fit`` from the old model to the new one; new/old then compares with
            converted embeddings.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models.
        name: name of the result, by default the file name of the pair list.
        options: how an ``.onnx`` file of the new model is fed.

    Raises:
        DataError: pairs, images or map cannot be used, or the name is no plain file name.
        ModelError: a model cannot be loaded, both are one model, or their embeddings differ in length without a map.
        SetupError: the result cannot be written, or another process writes it.
    """
    check_images(pairs, images)
    name = f"verify-{result_name(name, Path(pairs).stem)}"
    with result_output("across", name, model=model, json=json, inputs=(pairs, images, gallery_model, map_file)):
        models = load_two_models(model, gallery_model, device=device, options=options, gallery_input=gallery_input,
                                 map_file=map_file)
        pair_set = open_pairs(Path(pairs), Path(images) if images else None)
        check_pairs(models.new, pair_set)
        check_pairs(models.old, pair_set, option=GALLERY_PIXELS)
        old, new = (pair_features(embedder, pair_set, flip) for embedder in (models.old, models.new))
        result = verify_pairs_across_models(old, new, pair_set, names=models.names, gallery=models.convert(old),
                                            notes=models.notes)
        content = {**result.to_dict(), **models.to_dict(), "evaluation": "verify", "flip": flip}
        save_result("across", name, content, model=model, embedder=models.new, json=json)
    return result
