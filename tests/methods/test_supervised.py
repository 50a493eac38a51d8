from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facekd.config import HeadRecipe
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.errors import ModelError
from facekd.methods.supervised import Supervised
from facekd.models.registry import create


@pytest.fixture(scope="module")
def batch(small_faces: Path) -> Batch:
    return next(Loader(open_faces(small_faces), 32, batch_size=8, seed=0, augmentation=Flip()).iter_epoch(0))


def test_the_loss_is_arcfaces(batch: Batch) -> None:
    torch.manual_seed(0)
    student = create("iresnet10", size=32, outputs=16, width=0.25)
    method = Supervised(student, HeadRecipe(scale=16, margin=0.3), 8).eval()
    embeddings = F.normalize(student(batch.images.permute(0, 3, 1, 2).float() / 127.5 - 1).double())
    centers = F.normalize(next(p for n, p in method.named_parameters() if n.startswith("head")).double())
    cosines = embeddings @ centers.T
    rows = torch.arange(8)
    angles = cosines[rows, batch.labels].acos()
    assert float(angles.max().detach()) < torch.pi - 0.3  # the formula is another one for larger angles
    cosines = cosines.index_put((rows, batch.labels), (angles + 0.3).cos())
    truth = F.cross_entropy(16 * cosines, batch.labels)
    assert float(method.losses(batch, 0.0)["labels"].detach()) == pytest.approx(float(truth.detach()), rel=1e-4)


def test_with_a_softmax_head_the_outputs_are_the_logits(batch: Batch) -> None:
    torch.manual_seed(0)
    student = create("iresnet10", size=32, outputs=8, width=0.25, normalization="cifar100")
    method = Supervised(student, HeadRecipe(name="softmax"), 8).eval()
    assert {name.partition(".")[0] for name in method.state_dict()} == {"student"}
    colors = batch.images.numpy().astype(np.float32).transpose(0, 3, 1, 2)
    mean, deviation = np.array([129.3, 124.1, 112.4]), np.array([68.2, 65.4, 70.4])
    colors = (colors - mean[:, None, None]) / deviation[:, None, None]
    logits = student(torch.from_numpy(colors).float()).detach().double().numpy()
    truth = np.log(np.exp(logits).sum(1)) - logits[np.arange(8), batch.labels.numpy()]
    assert float(method.losses(batch, 0.0)["labels"].detach()) == pytest.approx(truth.mean(), rel=1e-5)


def test_a_softmax_head_needs_one_output_a_class() -> None:
    student = create("iresnet10", size=32, outputs=16, width=0.25)
    with pytest.raises(ModelError, match="the network has 16, the data 8"):
        Supervised(student, HeadRecipe(name="softmax"), 8)
