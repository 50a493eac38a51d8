from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from facekd.errors import ModelError
from facekd.models.registry import Network, create, list_models
from facekd.models.weights import VERSION, check_shapes, load_model, load_spec, load_weights, save_model


def network(seed: int = 0, **options: float) -> Network:
    torch.manual_seed(seed)
    return create("iresnet10", size=32, outputs=16, **{"width": 0.25, **options})


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    save_model(network(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def rewrite(path: Path, **metadata: str) -> None:
    spec = json.dumps(network().spec.to_dict())
    save_file(load_file(path), path, {"format": "facekd.model", "version": str(VERSION), "spec": spec, **metadata})


def test_a_model_comes_back_with_its_description(model_file: Path) -> None:
    loaded, original = load_model(model_file), network()
    assert loaded.spec == original.spec
    assert not loaded.training
    state = original.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def test_any_program_reads_the_file(model_file: Path) -> None:
    state = network().state_dict()
    read = load_file(model_file)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], value) for name, value in state.items())


def test_equal_weights_give_equal_bytes(model_file: Path, tmp_path: Path) -> None:
    for number in range(8):
        save_model(network().to(memory_format=torch.channels_last), tmp_path / f"{number}")  # type: ignore[call-overload]
    assert {(tmp_path / f"{number}").read_bytes() for number in range(8)} == {model_file.read_bytes()}


def test_another_process_writes_the_same_bytes(model_file: Path, tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path; from facekd.models.registry import create; "
        "from facekd.models.weights import save_model; torch.manual_seed(0); "
        "save_model(create('iresnet10', size=32, outputs=16, width=0.25), Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other")], check=True)
    assert (tmp_path / "other").read_bytes() == model_file.read_bytes()


def test_loading_draws_no_random_numbers(model_file: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_model(model_file)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(model_file: Path, length: int) -> None:
    model_file.write_bytes(model_file.read_bytes()[:length])
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        load_model(model_file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_model(tmp_path / "model.safetensors")


def test_weights_of_another_program_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="no facekd model description"):
        load_model(tmp_path / "foreign.safetensors")


def test_weights_that_do_not_fit_their_description_are_refused(model_file: Path) -> None:
    rewrite(model_file, spec=json.dumps(network(width=0.5).spec.to_dict()))
    with pytest.raises(ModelError, match=r"another architecture.*of another shape \(\S+ is \([\d, ]+\), not \("):
        load_model(model_file)


def test_a_newer_version_is_refused(model_file: Path) -> None:
    rewrite(model_file, version="3")
    with pytest.raises(ModelError, match="newer facekd"):
        load_model(model_file)


def test_an_older_version_is_refused(model_file: Path) -> None:
    rewrite(model_file, version="1")
    with pytest.raises(ModelError, match=r"older facekd \(model version 1\); train it again"):
        load_model(model_file)


@pytest.mark.parametrize("spec", ["{", "[]", '{"name": "iresnet10"}'])
def test_a_damaged_description_is_refused(model_file: Path, spec: str) -> None:
    rewrite(model_file, spec=spec)
    with pytest.raises(ModelError, match="description"):
        load_model(model_file)


@pytest.mark.parametrize("change", [
    {"outputs": 10**9}, {"outputs": 6 * 10**18}, {"outputs": 10**17}, {"size": 16 * 10**6}, {"size": 1024},
    {"options": {"width": 1000.0}}, {"options": {"layers": [10**9, 1, 1, 1]}}, {"options": {"layers": [100] * 4}},
    {"options": {"width": "wide"}}, {"options": {"layers": 3}}, {"normalization": []}, {"name": []}, {"options": []},
    {"options": {"width": 1e308}}, {"outputs": True}, {"name": "x" * 10**6}, {"normalization": "y" * 10**6},
])
def test_a_description_of_another_size_is_refused_before_memory_is_taken(
    model_file: Path, change: dict[str, object]
) -> None:
    rewrite(model_file, spec=json.dumps(network().spec.to_dict() | change))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError) as raised:
        load_model(model_file)
    assert len(str(raised.value)) < 700 and str(model_file) in str(raised.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


@pytest.mark.parametrize("spec", ["[" * 100_000, '{"name": ' + "9" * 5000 + "}", "{}", "null", "NaN"])
def test_a_description_that_is_no_object_of_ours_is_refused(model_file: Path, spec: str) -> None:
    rewrite(model_file, spec=spec)
    with pytest.raises(ModelError, match="description"):
        load_model(model_file)


def test_a_large_description_of_another_library_is_refused(tmp_path: Path) -> None:
    spec = {"name": "torchvision/resnet18", "size": 64, "outputs": 10**7, "options": {}}
    header = {"format": "facekd.model", "version": str(VERSION), "spec": json.dumps(spec)}
    save_file({"net.fc.weight": torch.zeros(3, 512)}, tmp_path / "m.safetensors", header)
    with pytest.raises(ModelError, match=r"10,000,000 outputs|needs torchvision"):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", list_models())
def test_every_network_has_the_same_shapes_without_memory(name: str) -> None:
    with torch.device("meta"):
        described = create(name, size=64, outputs=8)
    check_shapes(described, create(name, size=64, outputs=8).state_dict(), name)


def test_missing_and_unknown_weights_are_named() -> None:
    weights = network().state_dict()
    name = next(iter(weights))
    weights["unknown"] = weights.pop(name)
    with pytest.raises(ModelError, match=rf"there belongs.*1 missing \({name}\), 1 unknown \(unknown\)"):
        load_weights(network(), weights, "there")


def test_the_description_is_read_without_the_weights(model_file: Path) -> None:
    assert load_spec(model_file) == network().spec
    model_file.write_bytes(b"no model")
    with pytest.raises(ModelError):
        load_spec(model_file)
