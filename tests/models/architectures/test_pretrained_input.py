"""The images of published weights, from stand-ins of the configurations of torchvision and timm."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from facekd.errors import ModelError
from facekd.models.architectures.pretrained_input import PretrainedInput, from_timm, from_torchvision
from facekd.models.registry import ModelSpec

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def timm_config(scaling: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET, **changes: object) -> SimpleNamespace:
    """The fields of timm's ``PretrainedCfg`` that describe images, with its defaults."""
    mean, std = scaling
    defaults = {"input_size": (3, 224, 224), "test_input_size": None, "interpolation": "bicubic", "crop_pct": 0.875,
                "test_crop_pct": None, "mean": mean, "std": std}
    return SimpleNamespace(**(defaults | changes))


@pytest.mark.parametrize(("scaling", "name"), [(IMAGENET, "imagenet"), (INCEPTION, "unit"), (CLIP, None)])
def test_the_scaling_of_the_weights_has_a_name(
    scaling: tuple[tuple[float, ...], tuple[float, ...]], name: str | None
) -> None:
    assert from_timm(timm_config(scaling)).normalization() == name


def test_timm_measures_at_the_test_size() -> None:
    wanted = from_timm(timm_config(test_input_size=(3, 288, 288), test_crop_pct=0.95))
    assert (wanted.size, wanted.resized, wanted.interpolation) == (288, 303, "bicubic")
    assert from_timm(timm_config()).resized == 256


def test_a_preset_of_torchvision_is_read() -> None:
    preset = SimpleNamespace(crop_size=[224], resize_size=[232], interpolation=SimpleNamespace(value="bilinear"),
                             mean=[*IMAGENET[0]], std=[*IMAGENET[1]])
    wanted = from_torchvision(preset)
    assert (wanted.size, wanted.resized, wanted.interpolation) == (224, 232, "bilinear")
    assert wanted.normalization() == "imagenet"


def spec(normalization: str) -> ModelSpec:
    return ModelSpec("timm/net", 224, 7, {}, normalization)


@pytest.mark.parametrize(("scaling", "normalization", "message"), [
    (INCEPTION, "imagenet", "scaled as 'unit', not 'imagenet'; set normalization=unit"),
    (CLIP, "imagenet", "mean 122.8, 116.7, 104.1 .* for which there is no normalization; take other weights"),
])
def test_weights_of_another_scaling_are_refused(
    scaling: tuple[tuple[float, ...], tuple[float, ...]], normalization: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        from_timm(timm_config(scaling)).check(spec(normalization))


def test_the_right_scaling_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    PretrainedInput(224, 256, "bilinear", (127.5,) * 3, (127.5,) * 3).check(spec("unit"))
    assert "here 256 by area averaging" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_the_weights_of_torchvision_tell_their_images(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    wanted = from_torchvision(models.get_model_weights(name).DEFAULT.transforms())
    assert wanted.normalization() == "imagenet" and wanted.size == 224 and wanted.resized in (232, 256)


@pytest.mark.parametrize(("name", "normalization"), [
    ("resnet18.a1_in1k", "imagenet"), ("vit_base_patch16_224.augreg_in21k_ft_in1k", "unit"),
])
def test_the_weights_of_timm_tell_their_images(name: str, normalization: str) -> None:
    timm = pytest.importorskip("timm")
    assert from_timm(timm.get_pretrained_cfg(name)).normalization() == normalization
