"""``facekd eval identify --gallery-model``: probes of a new model in a gallery that an old one made."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Unpack

from facekd.api.across.two_models import GALLERY_PIXELS, load_two_models
from facekd.api.evaluate.identify import embed_face_set, label_by_folder
from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.data.opening import open_faces
from facekd.evaluation.cross_model.converted_features import ConvertedFeatures
from facekd.evaluation.cross_model.identification import identify_across_models
from facekd.evaluation.cross_model.result import CrossModelResult
from facekd.evaluation.embedding.mixed_models import check_different_paths, check_different_sets
from facekd.evaluation.embedding.plausibility import check_faces
from facekd.evaluation.identification.open_set_result import OpenSetResult
from facekd.models.input_format import InputOptions


def identify_across(probes: Path | str, gallery: Path | str, model: Path | str, gallery_model: Path | str, *,
                    gallery_input: InputOptions | None = None, map_file: Path | str | None = None,
                    json: Path | str | None = None, flip: bool = True, device: str = "auto", name: str | None = None,
                    **options: Unpack[InputOptions]) -> CrossModelResult[OpenSetResult]:
    """Identify probes in a gallery by an old model, by a new one, and new probes in the old model's gallery.

    Args:
        probes: a face set.
        gallery: a face set; identities of the two match by name.
        model: path of the new model, see `facekd.models.loading.load`.
        gallery_model: path of the old model, with which people were enrolled, for example the teacher.
        gallery_input: how an ``.onnx`` file of the old model is fed, see `InputOptions`.
        map_file: a map of ``facekd convert --fit`` from the old model to the new one; new probes then meet the
            converted gallery.
        json: a result file to write; a run folder gets one in ``results/`` in any case.
        flip: whether to add the embedding of the mirrored image.
        device: device of the models.
        name: name of the result, by default the file name of the gallery.
        options: how an ``.onnx`` file of the new model is fed.

    Raises:
        DataError: probes, gallery or map cannot be used, or are one and the same set; no probe has a mate in the
            gallery; or the name is no plain file name.
        ModelError: a model cannot be loaded, both are one model, or their embeddings differ in length without a map.
        SetupError: the result cannot be written, or another process writes it.
    """
    name = f"identify-{result_name(name, Path(gallery).stem)}"
    with result_output("across", name, model=model, json=json, inputs=(probes, gallery, gallery_model, map_file)):
        check_different_paths(probes, gallery, "gallery")
        models = load_two_models(model, gallery_model, device=device, options=options, gallery_input=gallery_input,
                                 map_file=map_file)
        check_faces(models.new, open_faces(probes, labels=True))
        check_faces(models.old, open_faces(probes, labels=True), option=GALLERY_PIXELS)
        old, new = ([embed_face_set(embedder, Path(path), flip) for path in (probes, gallery)]
                    for embedder in (models.old, models.new))
        check_different_sets(old[0], old[1], "gallery")
        old_probes, old_gallery = label_by_folder(*old)
        new_probes, new_gallery = label_by_folder(*new)
        converted = ConvertedFeatures(old_gallery, models.feature_map) if models.feature_map else None
        result = identify_across_models((old_probes, new_probes), (old_gallery, new_gallery), names=models.names,
                                        converted=converted, notes=models.notes)
        content = {**result.to_dict(), **models.to_dict(), "evaluation": "identify", "flip": flip,
                   "probes": str(probes), "gallery_from": str(gallery)}
        save_result("across", name, content, model=model, embedder=models.new, json=json)
    return result
