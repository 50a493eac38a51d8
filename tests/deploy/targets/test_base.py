from __future__ import annotations

import importlib.util
import sys
import warnings

import numpy as np
import pytest

from facekd.deploy.source import ExportSource
from facekd.deploy.targets.base import converter_errors, get_target, list_targets, registered
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.errors import ExportError
from tests.deploy.conftest import UnavailableTarget


class OtherOnnxTarget(OnnxTarget):
    """A target with the name of another."""


def test_all_targets_are_listed() -> None:
    assert list_targets() == ["coreml", "executorch", "litert", "ncnn", "onnx"]


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(ExportError, match=r"unknown target 'onx'.*onnx"):
        get_target("onx")


def test_a_target_is_registered_inside_the_context_only() -> None:
    with registered(UnavailableTarget):
        assert isinstance(get_target("elsewhere"), UnavailableTarget)
    assert "elsewhere" not in list_targets()


def test_a_target_of_the_same_name_is_restored_even_after_an_exception() -> None:
    with pytest.raises(RuntimeError, match="stop"), registered(OtherOnnxTarget):
        assert type(get_target("onnx")) is OtherOnnxTarget
        raise RuntimeError("stop")
    assert type(get_target("onnx")) is OnnxTarget


def test_a_precision_that_is_not_offered_is_refused() -> None:
    target = UnavailableTarget()
    target.check_precision("fp32")
    with pytest.raises(ExportError, match="elsewhere files are fp32, not int8"):
        target.check_precision("int8")


@pytest.mark.parametrize("name", ["coreml", "executorch", "litert", "ncnn"])
def test_missing_packages_are_named_with_the_extra_that_installs_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    target = get_target(name)
    packages = ", ".join(target.required_packages.values())
    with pytest.raises(ExportError) as refused:
        target.check_installed()
    assert str(refused.value) == f"{name} files need {packages}: pip install 'facekd[{name}]'"


def test_versions_are_those_of_the_required_packages() -> None:
    assert UnavailableTarget().versions() == {"numpy": np.__version__}


def test_an_error_of_a_converter_is_one_sentence_without_other_output(
    source: ExportSource, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError) as refused, converter_errors(source, "litert", "int8"):
        print("step 1", file=sys.stderr)
        warnings.warn("slow", stacklevel=1)
        raise ValueError("no kernel\n  for aten.eye")
    assert str(refused.value) == (
        "tiny could not be converted to litert int8 (ValueError: no kernel for aten.eye); "
        "leave this target out, or change the layer it names"
    )
    assert capsys.readouterr() == ("", "")
