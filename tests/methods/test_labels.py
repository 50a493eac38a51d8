from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from facekd.config import HeadRecipe
from facekd.data.faceset import open_faces
from facekd.data.loader import Loader
from facekd.methods.labels import Labels
from facekd.models.registry import create


def test_the_loss_is_arcfaces(small_faces: Path) -> None:
    batch = next(Loader(open_faces(small_faces), 32, 8, seed=0).epoch(0))
    torch.manual_seed(0)
    student = create("iresnet10", size=32, embedding=16, width=0.25)
    method = Labels(student, HeadRecipe(scale=16, margin=0.3), 8).eval()
    own = F.normalize(student(batch.images.permute(0, 3, 1, 2).float() / 127.5 - 1).double())
    centres = F.normalize(next(p for n, p in method.named_parameters() if n.startswith("head")).double())
    cosines = own @ centres.T
    rows = torch.arange(8)
    angles = cosines[rows, batch.labels].acos()
    assert float(angles.max().detach()) < torch.pi - 0.3  # beyond it the formula would be another
    cosines = cosines.index_put((rows, batch.labels), (angles + 0.3).cos())
    truth = F.cross_entropy(16 * cosines, batch.labels)
    assert float(method.losses(batch)["labels"].detach()) == pytest.approx(float(truth.detach()), rel=1e-4)
