"""One network as ONNX files that are fed in different ways: the same embedding from all, wherever a model is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import facekd
from facekd.data import cv2
from facekd.data.synthetic.dataset import render_crop, write_faces
from facekd.deploy.suppress_output import suppress_output
from facekd.errors import FacekdError, ModelError
from facekd.models.loading import load
from facekd.models.registry import Network, create
from facekd.models.weights import save_model

SIZE = 32
FILES: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, str]]] = {
    "inside": (lambda x: (x - 127.5) / 127.5, {}),
    "outside": (lambda x: x, {}),
    "zero-one": (lambda x: (x - 0.5) / 0.5, {}),
    "exchanged": (lambda x: x.flip(1), {}),  # takes BGR, which the graph tells
    "bgr": (lambda x: x, {"channels": "bgr"}),  # takes BGR by its weights, which must be stated
    "nhwc": (lambda x: x.permute(0, 3, 1, 2), {}),
    "all": (lambda x: ((x - 127.5) / 127.5).permute(0, 3, 1, 2).flip(1), {}),
    "imagenet": (lambda x: x * torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1) / 127.5
                 + (torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1) - 127.5) / 127.5, {"pixels": "imagenet"}),
}
"""What is inside of each file before the network, and what must be stated about it."""
SHORT = ("inside", "zero-one", "bgr", "nhwc")


class _Scaled(nn.Module):
    """A network behind a scaling; with ``bgr`` its weights are those for BGR."""

    def __init__(self, network: Network, scaling: Callable[[Tensor], Tensor], bgr: bool) -> None:
        super().__init__()
        self.network = network
        self.scaling = scaling
        if bgr:
            with torch.no_grad():
                weight = network.get_parameter("block1.0.weight")
                weight.copy_(weight.flip(1))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(self.scaling(x))
        return outputs


def _network() -> Network:
    torch.manual_seed(0)
    return create("lenet", size=SIZE, outputs=16).eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ONNX files, and the network itself as ``network.safetensors``."""
    folder = tmp_path_factory.mktemp("models")
    save_model(_network(), folder / "network.safetensors")
    for name, (scaling, stated) in FILES.items():
        shape = (2, SIZE, SIZE, 3) if name in ("nhwc", "all") else (2, 3, SIZE, SIZE)
        module = _Scaled(_network(), scaling, "channels" in stated).eval()
        with suppress_output():
            torch.onnx.export(module, (torch.zeros(shape),), folder / f"{name}.onnx", dynamo=True, verbose=False,
                              external_data=False, dynamic_shapes=({0: torch.export.Dim("n", min=1)},))
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, range(6), 4, size=SIZE)
    return folder


@pytest.fixture(scope="module")
def truth(models: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    out = tmp_path_factory.mktemp("truth") / "f.npy"
    facekd.embed(faces, out, models / "network.safetensors")
    return np.asarray(np.load(out))


@pytest.mark.parametrize("name", FILES)
def test_embed_gives_the_same_embeddings(
    name: str, models: Path, faces: Path, truth: NDArray[np.float32], tmp_path: Path
) -> None:
    facekd.embed(faces, tmp_path / "f.npy", models / f"{name}.onnx", **FILES[name][1])
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), truth, atol=1e-5 * np.abs(truth).max())


def test_what_the_graph_cannot_tell_must_be_stated(
    models: Path, faces: Path, truth: NDArray[np.float32], tmp_path: Path
) -> None:
    for name in ("bgr", "imagenet"):
        facekd.embed(faces, tmp_path / f"{name}.npy", models / f"{name}.onnx")
        assert np.abs(np.load(tmp_path / f"{name}.npy") - truth).max() > 1e-2 * np.abs(truth).max()


@pytest.mark.parametrize("name", FILES)
def test_compare_gives_the_same_similarity(name: str, models: Path, tmp_path: Path) -> None:
    photos = []
    for number in range(2):
        photos.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(photos[-1]), cv2.cvtColor(render_crop(number, 0, SIZE), cv2.COLOR_RGB2BGR))
    expected = facekd.compare(*photos, models / "network.safetensors", aligned=True).similarity
    found = facekd.compare(*photos, models / f"{name}.onnx", aligned=True, **FILES[name][1]).similarity
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", SHORT)
def test_every_evaluation_gives_the_same_figures(name: str, models: Path, faces: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    paths = sorted(str(path.relative_to(faces)) for path in faces.rglob("*.*"))
    people = [path.split("/")[0] for path in paths]
    rows = [f"{i % 2},{paths[i]},{paths[j]},{int(people[i] == people[j])}" for i in range(len(paths)) for j in range(i)]
    pairs.write_text("fold,path1,path2,same\n" + "\n".join(rows) + "\n")
    write_faces(tmp_path / "others", range(6, 12), 2, size=SIZE)
    results = []
    for model, options in ((models / "network.safetensors", {}), (models / f"{name}.onnx", FILES[name][1])):
        verified = facekd.verify(model, pairs, images=faces, **options)
        (identified,) = facekd.megaface(model, faces, tmp_path / "others", **options).values()
        results.append((verified.auc, verified.accuracy, identified.rank1))
    assert results[1] == pytest.approx(results[0], abs=1e-2)  # a threshold between two equal scores may move


@pytest.mark.parametrize("name", FILES)
def test_an_imported_route_is_fed_as_stated(name: str, models: Path, faces: Path, tmp_path: Path) -> None:
    route = facekd.import_route([models / f"{name}.onnx"], tmp_path / "route", **FILES[name][1])
    crops = np.stack([render_crop(1, view, SIZE) for view in range(4)])
    expected = load(models / "network.safetensors").forward(crops)
    np.testing.assert_allclose(load(route.point_file(0)).forward(crops), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", SHORT)
def test_a_student_learns_the_same_from_each_teacher(name: str, models: Path, faces: Path, tmp_path: Path) -> None:
    facekd.import_route([models / f"{name}.onnx"], tmp_path / "route", **FILES[name][1])
    facekd.plan(tmp_path / "route", tmp_path / "plan.json", strategy="final", anchors=1)
    facekd.distill(faces, tmp_path / "plan.json", tmp_path / "run", "student.name=iresnet10",
                   "student.options={width: 0.25}", f"student.size={SIZE}", "student.embedding=16", "method=l2",
                   "training.epochs=0.4", "training.batch_size=8", "machine.device=cpu", "machine.threads=1",
                   "teacher_cache=float32", "data.augmentation.kind=plain")
    (cache,) = (tmp_path / "route" / "cache").glob("*.npy")
    facekd.embed(faces, tmp_path / "f.npy", models / "network.safetensors", flip=False)
    expected = np.load(tmp_path / "f.npy")
    np.testing.assert_allclose(np.load(cache), expected, atol=1e-5 * np.abs(expected).max())


OPTIONS = ({"pixels": "raw"}, {"channels": "bgr"}, {"size": SIZE}, {"output": "y"})


@pytest.mark.parametrize("options", OPTIONS)
def test_options_beside_a_network_of_facekd_are_refused_everywhere(
    options: dict[str, Any], models: Path, faces: Path, tmp_path: Path
) -> None:
    model = models / "network.safetensors"
    flag = f"--{next(iter(options))} has no effect"
    calls: list[Callable[[], object]] = [
        lambda: facekd.load(model, **options),
        lambda: facekd.embed(faces, tmp_path / "f.npy", model, **options),
        lambda: facekd.compare(faces, faces, model, aligned=True, **options),
        lambda: facekd.clean(faces, model, tmp_path / "clean", **options),
        lambda: facekd.identify(faces, models, model=model, **options),
        lambda: facekd.megaface(model, faces, models, **options),
        lambda: facekd.megaface(None, faces, models, **options),
    ]
    for call in calls:
        with pytest.raises(FacekdError, match=flag):
            call()


def test_options_of_checkpoints_and_of_an_onnx_are_told_apart(models: Path, tmp_path: Path) -> None:
    with pytest.raises(FacekdError, match="--model and --normalization describe checkpoints and have no effect"):
        facekd.import_route([models / "inside.onnx"], tmp_path / "a", model="iresnet10", normalization="unit")
    with pytest.raises(FacekdError, match="--pixels has no effect"):
        facekd.import_route([models / "network.safetensors"], tmp_path / "a", model="iresnet10", pixels="raw")


def test_a_size_that_the_graph_does_not_have_is_refused(models: Path) -> None:
    with pytest.raises(ModelError, match="takes 32x32 images, not 128x128; leave --size out"):
        load(models / "outside.onnx", size=128)
