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
from facekd.models.feature_extractor import Tapped, aside, blank
from facekd.models.registry import ModelSpec, Network, create, names
from facekd.run import Run


def small(name: str = "resnet8", outputs: int = 8) -> Network:
    narrow = {"width": 0.5 if name.startswith("resnet") else 0.25}
    options: dict[str, Any] = {} if name.startswith(("shufflenet", "wrn", "resnet_found")) else narrow
    torch.manual_seed(0)
    return create(name, size=32, outputs=outputs, **options).eval()


@pytest.mark.parametrize("name", names())
def test_maps_get_coarser_and_reach_the_outputs(name: str) -> None:
    network = small(name)
    images = torch.rand(2, 3, 32, 32)
    answer = Tapped(network)(images)
    torch.testing.assert_close(answer.outputs, network(images), rtol=0, atol=0)
    sides = [m.shape[-1] for m in answer.maps]
    assert len(sides) >= 3 and sides == sorted(sides, reverse=True) and min(sides) >= 1
    gradients = torch.autograd.grad(answer.outputs.sum(), answer.maps)  # every map lies on the way to the outputs
    assert all(float(g.abs().max()) > 0 for g in gradients)


def test_hooks_leave_the_state_alone() -> None:
    network = create("iresnet10", size=32, outputs=8, width=0.25)
    before = list(network.state_dict())
    Tapped(network)
    assert list(network.state_dict()) == before


def test_the_features_are_what_the_last_layer_reads() -> None:
    network = small()
    answer = Tapped(network)(torch.rand(2, 3, 32, 32))
    last = network.get_submodule(network.final)
    torch.testing.assert_close(last(answer.features), answer.outputs, rtol=0, atol=0)


def test_taps_give_the_outputs_of_the_modules_that_were_named() -> None:
    network, x = small(), torch.rand(2, 3, 32, 32)
    taps = ["conv1", "layer1.0.bn2", "layer3.0.conv1", "layer2"]
    answer = Tapped(network, taps)(x)
    stem = network.get_submodule("conv1")(x)
    block = network.get_submodule("layer1.0")
    entered = torch.relu(network.get_submodule("bn1")(stem))
    inner = torch.relu(block.get_submodule("bn1")(block.get_submodule("conv1")(entered)))
    second = network.get_submodule("layer2")(network.get_submodule("layer1")(entered))
    truth = [stem, block.get_submodule("bn2")(block.get_submodule("conv2")(inner)),
             network.get_submodule("layer3.0.conv1")(second), second]
    for found, wanted in zip(answer.maps, truth, strict=True):  # in the order of their names
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_every_call_has_maps_of_its_own() -> None:
    tapped, first, second = Tapped(small(), ["layer1"]), torch.rand(2, 3, 32, 32), torch.rand(3, 3, 32, 32)
    one, other = tapped(first).maps[0].clone(), tapped(second).maps[0]
    assert other.shape[0] == 3
    assert torch.equal(tapped(first).maps[0], one)


def test_two_may_look_into_one_network() -> None:
    network, x = small(), torch.rand(2, 3, 32, 32)
    shallow, deep = Tapped(network, ["layer1"]), Tapped(network, ["layer3"])
    assert [shallow(x).maps[0].shape[-1], deep(x).maps[0].shape[-1], shallow(x).maps[0].shape[-1]] == [32, 8, 32]


@pytest.mark.parametrize(("tap", "hint"), [
    ("layr2", "did you mean 'layer2'"), ("layer1.0.bn3", r"did you mean 'layer1\.0\.bn\d'"),
    ("", "valid names: bn1, "), ("layer9.7.xyz.zzzzzz", "")])
def test_an_unknown_module_is_told_with_the_nearest_and_the_stages(tap: str, hint: str) -> None:
    stages = "its stages are layer1, layer2, layer3"
    with pytest.raises(ModelError, match=f"^resnet8 has no module '{tap}': {hint}.*{stages}$"):
        Tapped(small(), ["layer1", tap])


def test_a_module_whose_output_is_no_map_is_refused() -> None:
    tapped = Tapped(small(), ["layer1", "fc"])
    with pytest.raises(ModelError, match=r"resnet8: the output of 'fc' is \[2, 8\], and no map \[N, channels"):
        tapped(torch.rand(2, 3, 32, 32))


class Listed(Network):
    """Its layers lie in a list, which itself is never called."""

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
    assert len(Tapped(Listed())(torch.rand(2, 3, 32, 32)).maps) == 1
    with pytest.raises(ModelError, match="listed never calls 'layers' as a whole; choose another module in taps"):
        Tapped(Listed(), ["layers"])(torch.rand(2, 3, 32, 32))


@pytest.mark.parametrize("training", [True, False])
def test_an_answer_aside_takes_the_batchs_statistics_as_training_does_and_leaves_no_trace(training: bool) -> None:
    network, images = small().train(training), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    truth = copy.deepcopy(network)(network.inputs(images))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = aside(network, Tapped(network), images)
    torch.testing.assert_close(found.outputs, truth, rtol=0, atol=0)
    assert not any(value.requires_grad for value in (found.outputs, *found.maps, found.features))
    assert {module.training for module in network.modules()} == {training}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(network.inputs(images))
    assert training is not torch.equal(network.state_dict()["bn1.running_mean"], before["bn1.running_mean"])


def test_an_answer_aside_is_without_dropout() -> None:
    network = create("iresnet10", size=32, outputs=8, width=0.25, dropout=0.5).train()
    ask, images = Tapped(network), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    first, second = (aside(network, ask, images).outputs for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not torch.equal(*(ask(network.inputs(images)).outputs for _ in range(2)))


def test_an_answer_aside_leaves_frozen_statistics_frozen() -> None:
    network, images = small().train(), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    network.get_submodule("bn1").eval()
    truth = copy.deepcopy(network)(network.inputs(images))
    torch.testing.assert_close(aside(network, Tapped(network), images).outputs, truth, rtol=0, atol=0)
    assert [name for name, module in network.named_modules() if not module.training] == ["bn1"]


def test_blank_images_are_of_the_networks_size() -> None:
    network = create("iresnet10", size=48, outputs=8, width=0.25)
    found = blank(network)
    assert (found.shape, found.dtype, int(found.max())) == ((2, 48, 48, 3), torch.uint8, 0)


STEP = (
    "student={name: resnet8, size: 32, embedding: 16, options: {width: 0.5}}", "losses={at: 1}", "schedule.batch=8",
    "schedule.epochs=0.17", "machine.device=cpu", "machine.threads=1",
)
"""One step of a student of three stages after a teacher of four."""


@pytest.fixture
def final(taught: Path, tmp_path: Path) -> Path:
    plan(taught, tmp_path / "final.json", "final", 1)
    return tmp_path / "final.json"


def attention(small_faces: Path, final: Path, student: list[str], teacher: list[str]) -> Any:
    """The loss of the first step; of several pairs of maps it is the sum."""
    out = final.parent / "-".join(["run", *student, *teacher])
    run = distill(small_faces, final, out, *STEP, f"taps.student={student}", f"taps.teacher={teacher}")
    return Run(run).read_log()[0]["at"]


def test_distill_looks_where_it_is_told_to(small_faces: Path, final: Path) -> None:
    pairs = [("layer1.0.bn1", "layer2"), ("layer3", "layer3.0.conv2")]
    single = [attention(small_faces, final, [student], [teacher]) for student, teacher in pairs]
    both = attention(small_faces, final, [s for s, _ in pairs], [t for _, t in pairs])
    assert min(single) > 0 and single[0] != single[1]
    assert both == pytest.approx(sum(single), rel=1e-5)
    assert both != pytest.approx(attention(small_faces, final, [], []), rel=1e-3)  # the stages


@pytest.mark.parametrize(("taps", "message"), [
    ("taps.student=[layr2]", "resnet8 has no module 'layr2': did you mean 'layer2'"),
    ("taps.teacher=[layr2]", "iresnet10 has no module 'layr2': did you mean 'layer2'"),
    ("taps.student=[layer1, fc]", r"resnet8: the output of 'fc' is \[2, 16\], and no map"),
])
def test_distill_tells_whose_module_is_wrong(small_faces: Path, final: Path, taps: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        distill(small_faces, final, final.parent / "run", *STEP, taps)
