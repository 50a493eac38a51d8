from __future__ import annotations

from pathlib import Path

import pytest
import torch

import facekd
from facekd.errors import RouteError
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.route.route import Route


def test_checkpoints_become_a_route_that_can_be_planned(tmp_path: Path) -> None:
    checkpoints = []
    for epoch in range(2):
        torch.manual_seed(epoch)
        network = create("iresnet18", size=32, outputs=16, width=0.25)
        checkpoints.append(str(tmp_path / f"epoch{epoch}.pt"))
        torch.save(network.state_dict(), checkpoints[-1])
    route = facekd.import_route(checkpoints, str(tmp_path / "route"), model="iresnet18", size=32,
                                options={"width": 0.25})
    assert [point.epoch for point in Route.open(tmp_path / "route").points] == [1, 2]
    assert facekd.plan(route.folder, tmp_path / "plan.json", strategy="equal", anchors=2).stages[1].points == (1,)
    weights = load_model(route.point_file(1)).state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_checkpoints_need_the_name_of_their_architecture(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "a.pt")
    with pytest.raises(RouteError, match=r"name the architecture, e\.g\. --model iresnet50"):
        facekd.import_route([tmp_path / "a.pt"], tmp_path / "route")


def test_an_imported_teacher_is_checked_on_images(
    small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = create("lenet", size=32, outputs=16)
    with torch.no_grad():
        network.get_parameter("fc.weight").mul_(1e-4)
    torch.save(network.state_dict(), tmp_path / "constant.pt")
    facekd.import_route([tmp_path / "constant.pt"], tmp_path / "route", model="lenet", size=32, images=small_faces)
    assert "nearly the same embedding" in capsys.readouterr().err
    network = create("lenet", size=32, outputs=16)
    torch.save(network.state_dict(), tmp_path / "random.pt")
    facekd.import_route([tmp_path / "random.pt"], tmp_path / "other", model="lenet", size=32, images=small_faces)
    assert capsys.readouterr().err == ""
