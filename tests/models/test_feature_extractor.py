from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.errors import ModelError
from facekd.models.feature_extractor import (
    FeatureExtractor,
    dummy_input,
    evaluation_mode,
    forward_without_side_effects,
)
from facekd.models.registry import ModelSpec, Network, create, list_models
from facekd.run import Run


def small_network(name: str = "resnet8", outputs: int = 8) -> Network:
    width = {"width": 0.5 if name.startswith("resnet") else 0.25}
    options: dict[str, Any] = {} if name.startswith(("shufflenet", "wrn", "resnet_pruned", "graph")) else width
    torch.manual_seed(0)
    return create(name, size=32, outputs=outputs, **options).eval()


@pytest.mark.parametrize("name", [name for name in list_models() if name != "mlp"])  # it has no feature maps
def test_maps_get_coarser_and_reach_the_outputs(name: str) -> None:
    network = small_network(name)
    images = torch.rand(2, 3, 32, 32)
    output = FeatureExtractor(network)(images)
    torch.testing.assert_close(output.outputs, network(images), rtol=0, atol=0)
    sides = [m.shape[-1] for m in output.feature_maps]
    assert len(sides) >= (2 if name == "lenet" else 3) and sides == sorted(sides, reverse=True) and min(sides) >= 1
    # Every map is on the path to the outputs.
    gradients = torch.autograd.grad(output.outputs.sum(), output.feature_maps)
    assert all(float(g.abs().max()) > 0 for g in gradients)


def test_hooks_leave_the_state_alone() -> None:
    network = create("iresnet10", size=32, outputs=8, width=0.25)
    before = list(network.state_dict())
    FeatureExtractor(network)
    assert list(network.state_dict()) == before


def test_the_features_are_what_the_last_layer_reads() -> None:
    network = small_network()
    output = FeatureExtractor(network)(torch.rand(2, 3, 32, 32))
    last = network.get_submodule(network.final_layer)
    torch.testing.assert_close(last(output.features), output.outputs, rtol=0, atol=0)


def test_the_maps_are_the_outputs_of_the_named_modules() -> None:
    network, x = small_network(), torch.rand(2, 3, 32, 32)
    layers = ["conv1", "layer1.0.bn2", "layer3.0.conv1", "layer2"]
    output = FeatureExtractor(network, layers)(x)
    stem = network.get_submodule("conv1")(x)
    block = network.get_submodule("layer1.0")
    entered = torch.relu(network.get_submodule("bn1")(stem))
    inner = torch.relu(block.get_submodule("bn1")(block.get_submodule("conv1")(entered)))
    second = network.get_submodule("layer2")(network.get_submodule("layer1")(entered))
    truth = [stem, block.get_submodule("bn2")(block.get_submodule("conv2")(inner)),
             network.get_submodule("layer3.0.conv1")(second), second]
    for feature_map, expected in zip(output.feature_maps, truth, strict=True):  # in the order of their names
        torch.testing.assert_close(feature_map, expected, rtol=1e-5, atol=1e-6)


def test_every_call_has_maps_of_its_own() -> None:
    extractor = FeatureExtractor(small_network(), ["layer1"])
    first = torch.rand(2, 3, 32, 32)
    second = torch.rand(3, 3, 32, 32)
    one = extractor(first).feature_maps[0].clone()
    other = extractor(second).feature_maps[0]
    assert other.shape[0] == 3
    assert torch.equal(extractor(first).feature_maps[0], one)


def test_one_network_can_have_two_extractors() -> None:
    network, x = small_network(), torch.rand(2, 3, 32, 32)
    shallow, deep = FeatureExtractor(network, ["layer1"]), FeatureExtractor(network, ["layer3"])
    sides = [extractor(x).feature_maps[0].shape[-1] for extractor in (shallow, deep, shallow)]
    assert sides == [32, 8, 32]


@pytest.mark.parametrize(("layer", "hint"), [
    ("layr2", "did you mean 'layer2'"), ("layer1.0.bn3", r"did you mean 'layer1\.0\.bn\d'"),
    ("", "valid names: bn1, "), ("layer9.7.xyz.zzzzzz", "")])
def test_an_unknown_module_is_reported_with_the_nearest_and_the_stages(layer: str, hint: str) -> None:
    stages = "its stages are layer1, layer2, layer3"
    with pytest.raises(ModelError, match=f"^resnet8 has no module '{layer}': {hint}.*{stages}$"):
        FeatureExtractor(small_network(), ["layer1", layer])


def test_a_module_whose_output_is_no_map_is_refused() -> None:
    extractor = FeatureExtractor(small_network(), ["layer1", "fc"])
    with pytest.raises(ModelError, match=r"resnet8: the output of 'fc' is \[2, 8\], not a feature map \[N, channels"):
        extractor(torch.rand(2, 3, 32, 32))


class ListNetwork(Network):
    """A network whose layers are in a list, which itself is never called."""

    stages = ("layers.0",)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 3)])
        self.fc = nn.Linear(4, 2)
        self.spec = ModelSpec("listed", 32, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc(self.layers[0](x).mean(dim=(2, 3)))
        return result


def test_a_module_that_is_never_called_is_refused() -> None:
    assert len(FeatureExtractor(ListNetwork())(torch.rand(2, 3, 32, 32)).feature_maps) == 1
    message = "listed never calls 'layers' as a whole; choose another module in feature_layers"
    with pytest.raises(ModelError, match=message):
        FeatureExtractor(ListNetwork(), ["layers"])(torch.rand(2, 3, 32, 32))


@pytest.mark.parametrize("training", [True, False])
def test_a_forward_without_side_effects_uses_the_batch_statistics_and_changes_nothing(training: bool) -> None:
    network, images = small_network().train(training), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    truth = copy.deepcopy(network)(network.preprocess(images))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    output = forward_without_side_effects(network, FeatureExtractor(network), images)
    torch.testing.assert_close(output.outputs, truth, rtol=0, atol=0)
    assert not any(value.requires_grad for value in (output.outputs, *output.feature_maps, output.features))
    assert {module.training for module in network.modules()} == {training}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(network.preprocess(images))
    assert training is not torch.equal(network.state_dict()["bn1.running_mean"], before["bn1.running_mean"])


def test_a_forward_without_side_effects_has_no_dropout() -> None:
    network = create("iresnet10", size=32, outputs=8, width=0.25, dropout=0.5).train()
    extractor = FeatureExtractor(network)
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    first, second = (forward_without_side_effects(network, extractor, images).outputs for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not torch.equal(*(extractor(network.preprocess(images)).outputs for _ in range(2)))


def test_a_forward_without_side_effects_keeps_frozen_statistics() -> None:
    network, images = small_network().train(), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    network.get_submodule("bn1").eval()
    truth = copy.deepcopy(network)(network.preprocess(images))
    output = forward_without_side_effects(network, FeatureExtractor(network), images)
    torch.testing.assert_close(output.outputs, truth, rtol=0, atol=0)
    assert [name for name, module in network.named_modules() if not module.training] == ["bn1"]


def test_an_exception_inside_a_forward_without_side_effects_restores_all_modes() -> None:
    network, images = small_network().train(), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    network.get_submodule("bn1").eval()

    def fail(x: Tensor) -> Any:
        network(x)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        forward_without_side_effects(network, fail, images)
    assert [name for name, module in network.named_modules() if not module.training] == ["bn1"]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all(norm.track_running_stats for norm in norms)


def test_without_features_only_the_outputs_are_returned() -> None:
    network, images = small_network(), torch.rand(2, 3, 32, 32)
    output = FeatureExtractor(network, with_features=False)(images)
    torch.testing.assert_close(output.outputs, network(images), rtol=0, atol=0)
    assert output.feature_maps == ()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_the_dummy_images_are_of_the_networks_size() -> None:
    network = create("iresnet10", size=48, outputs=8, width=0.25)
    images = dummy_input(network)
    assert (images.shape, images.dtype, int(images.max())) == ((2, 48, 48, 3), torch.uint8, 0)


STEP = (
    "student={name: resnet8, size: 32, embedding: 16, options: {width: 0.5}}", "losses={at: 1}",
    "training.batch_size=8", "training.epochs=0.17", "machine.device=cpu", "machine.threads=1",
)
"""One step of a student with three network stages and a teacher with four."""


@pytest.fixture
def final_plan(teacher_run: Path, tmp_path: Path) -> Path:
    """A plan with the final teacher as its only anchor."""
    plan(teacher_run, tmp_path / "final.json", strategy="final", anchors=1)
    return tmp_path / "final.json"


def first_attention_loss(small_faces: Path, final_plan: Path, student: list[str], teacher: list[str]) -> Any:
    """Return the loss of the first step, the sum over all pairs of maps."""
    out = final_plan.parent / "-".join(["run", *student, *teacher])
    layers = (f"feature_layers.student={student}", f"feature_layers.teacher={teacher}")
    run = distill(small_faces, final_plan, out, *STEP, *layers)
    return Run(run).read_log()[0]["at"]


def test_distill_uses_the_feature_layers_of_the_recipe(small_faces: Path, final_plan: Path) -> None:
    pairs = [("layer1.0.bn1", "layer2"), ("layer3", "layer3.0.conv2")]
    single = [first_attention_loss(small_faces, final_plan, [student], [teacher]) for student, teacher in pairs]
    both = first_attention_loss(small_faces, final_plan, [s for s, _ in pairs], [t for _, t in pairs])
    assert min(single) > 0 and single[0] != single[1]
    assert both == pytest.approx(sum(single), rel=1e-5)
    assert both != pytest.approx(first_attention_loss(small_faces, final_plan, [], []), rel=1e-3)  # the stages


@pytest.mark.parametrize(("override", "message"), [
    ("feature_layers.student=[layr2]", "resnet8 has no module 'layr2': did you mean 'layer2'"),
    ("feature_layers.teacher=[layr2]", "iresnet10 has no module 'layr2': did you mean 'layer2'"),
    ("feature_layers.student=[layer1, fc]", r"resnet8: the output of 'fc' is \[2, 16\], not a feature map"),
])
def test_distill_names_the_network_whose_module_is_wrong(
    small_faces: Path, final_plan: Path, override: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        distill(small_faces, final_plan, final_plan.parent / "run", *STEP, override)


def test_evaluation_mode_ends_as_it_began() -> None:
    network = small_network()
    network.fc.train()
    with pytest.raises(RuntimeError, match="stop"), evaluation_mode(network):
        assert not any(module.training for module in network.modules())
        raise RuntimeError("stop")
    assert [name for name, module in network.named_modules() if module.training] == ["fc"]
