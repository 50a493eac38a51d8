from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.config import HeadRecipe, MimicRecipe
from facekd.data.faceset import Fingerprint, open_faces
from facekd.data.loader import Batch, Loader
from facekd.errors import RouteError, SetupError
from facekd.methods.mimic import Mimic
from facekd.models.registry import create
from facekd.route.cache import CachedTeacher, Kind, build_cache, cache_file
from facekd.route.route import Route
from facekd.route.teacher import LiveTeacher, live_teacher
from facekd.training.method import Stage

CPU = torch.device("cpu")
BOUNDS: list[tuple[Kind, float]] = [("float16", 1e-3), ("float32", 1e-6)]


@pytest.fixture
def loader(small_faces: Path) -> Loader:
    return Loader(open_faces(small_faces), 32, 8, seed=0)


@pytest.fixture
def live(taught: Path) -> LiveTeacher:
    route = Route.open(taught)
    return live_teacher(route.point_file(len(route.points) - 1), CPU)


@pytest.mark.parametrize(("kind", "bound"), BOUNDS)
def test_cached_and_live_teachers_agree_on_both_views(
    live: LiveTeacher, loader: Loader, tmp_path: Path, kind: Kind, bound: float
) -> None:
    build_cache(live, loader, tmp_path / "cache.npy", kind, CPU)
    cached = CachedTeacher(tmp_path / "cache.npy")
    assert cached.dimension == live.dimension == 16
    seen = set()
    for batch in loader.epoch(1):
        truth, found = live.embeddings(batch), cached.embeddings(batch)
        assert (found.dtype, found.shape) == (torch.float32, (8, 16))
        assert float((found - truth).norm() / truth.norm()) < bound
        seen |= set(batch.flipped.tolist())
    assert seen == {False, True}
    values = np.load(tmp_path / "cache.npy")
    assert (values.shape, values.dtype) == ((2, 48, 16), np.dtype(kind))
    assert np.abs(values[0] - values[1]).max() > 0.01  # the views differ, so that mixing them up would show


@pytest.mark.parametrize(("kind", "bound"), BOUNDS)
def test_a_method_cannot_tell_them_apart(
    live: LiveTeacher, loader: Loader, tmp_path: Path, kind: Kind, bound: float
) -> None:
    build_cache(live, loader, tmp_path / "cache.npy", kind, CPU)
    recipe = MimicRecipe(l2=1, cosine=1, normalize=False, labels=1)
    batch = next(loader.epoch(0))
    losses = []
    for teacher in (live, CachedTeacher(tmp_path / "cache.npy")):
        torch.manual_seed(0)
        student = create("iresnet10", size=32, embedding=16, width=0.25)
        method = Mimic(student, recipe, {0: teacher}.__getitem__, 16, HeadRecipe(), 8)
        method.begin(Stage(1, 0))
        losses.append(method.losses(batch))
    assert losses[0].keys() == losses[1].keys() == {"l2", "cosine", "labels"}
    for name, value in losses[0].items():
        assert float(losses[1][name].detach()) == pytest.approx(float(value.detach()), rel=bound)


def test_the_teacher_does_not_train_and_gives_no_gradient(live: LiveTeacher, loader: Loader) -> None:
    batch = next(loader.epoch(0))
    once = live.embeddings(batch)
    part = Batch(batch.images[:1], batch.labels[:1], batch.index[:1], batch.flipped[:1])
    assert not once.requires_grad
    torch.testing.assert_close(live.embeddings(part), once[:1], rtol=1e-4, atol=1e-5)  # no batch statistics
    assert torch.equal(live.embeddings(batch), once)


def test_a_cache_is_keyed_by_anchor_data_and_kind() -> None:
    files = {
        cache_file(Path("cache"), anchor, Fingerprint(data, 8, 48), kind)
        for anchor in ("a" * 64, "b" * 64) for data in ("c" * 64, "d" * 64) for kind in ("float16", "float32")
    }
    assert len(files) == 8


class Stub(LiveTeacher):
    size, dimension = 32, 2

    def __init__(self, value: float, fail_at: int = -1) -> None:
        self.value, self.fail_at, self.calls = value, fail_at, 0

    def embeddings(self, batch: Batch) -> Tensor:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return torch.full((len(batch.index), 2), self.value)


def test_a_cache_that_is_there_is_not_made_again(loader: Loader, tmp_path: Path) -> None:
    teacher = Stub(1.0)
    build_cache(teacher, loader, tmp_path / "cache.npy", "float16", CPU)
    assert teacher.calls == 12
    build_cache(teacher, loader, tmp_path / "cache.npy", "float16", CPU)
    assert teacher.calls == 12


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(("value", "kind"), [(1e5, "float16"), (float("nan"), "float32")])
def test_what_the_type_cannot_hold_is_refused(loader: Loader, tmp_path: Path, value: float, kind: Any) -> None:
    with pytest.raises(RouteError, match=f"do not fit {kind}"):
        build_cache(Stub(value), loader, tmp_path / "cache.npy", kind, CPU)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_cache(loader: Loader, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="disk is full"):
        build_cache(Stub(1.0, fail_at=3), loader, tmp_path / "cache.npy", "float16", CPU)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nothing"])
def test_a_damaged_cache_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache.npy").write_bytes(content)
    with pytest.raises(RouteError, match=r"cache\.npy.*delete it"):
        CachedTeacher(tmp_path / "cache.npy")
