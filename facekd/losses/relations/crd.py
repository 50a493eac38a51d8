"""Contrastive distillation: an image's feature is told from those of other images, across both networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import exact
from facekd.losses.pairwise import relatable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


def drawn(count: int, images: int, done: float) -> Tensor:
    """Places of images, drawn evenly and with replacement; the same for the same share of the training.

    Args:
        count: how many.
        images: in the training set.
        done: share of the training that is done, 0 to below 1.

    Returns:
        int64 [count] on the CPU.
    """
    generator = torch.Generator().manual_seed(int(done * 2**32))  # it reads 32 bits of its seed: these must differ
    return torch.randint(images, (count,), generator=generator)


@register
class CRD(Loss):
    """Noise contrastive estimation of which feature is of the same image (Tian et al., ICLR 2020, section 3.1).

    Features of both networks pass a learned linear map each to unit vectors u (student) and v (teacher). Two banks
    remember both for every training image. The classifier h says that u_i and the teacher's remembered v_i belong
    together, and u_i and the v_j of m drawn images do not; likewise v_i among the student's remembered u. At the end of
    a training step the batch's memories become momentum * old + (1 - momentum) * new, at unit length again.

    From memory of the authors' code: Z is images * mean exp(u.v / tau) over the first batch's draws, one for each bank,
    and a constant from then on; h keeps out of the negatives the images of the same class. Here a class is known once
    its image was in a batch. m is what is left of the draws, image by image. Ours: one draw serves the whole batch,
    where the authors draw for every image, so that a matrix product does what would be a gathering of gigabytes; and it
    is made with replacement, as NCE's noise is.

    The banks take 8 * dimension bytes an image (6 GB for 5.8 million), lie on the loss's device, and are saved with it.

    Options:
        negatives: draws a batch, never more than there are images.
        momentum: share of the old memory that stays, at most 1.
        temperature: tau, above 0.
        dimension: of the embeddings.
    """

    name = "crd"
    paper = "Tian, Krishnan, Isola, Contrastive Representation Distillation, ICLR 2020"
    equation = (
        "mean_i (c(u_i, V) + c(v_i, U)), c(a, B) = -log h(a.b_i) - sum_j log(1 - h(a.b_j)), "
        "h(x) = e / (e + m / images), e = exp(x / tau) / Z"
    )
    remembers = True
    weight = 0.8
    origin = "the paper's CIFAR-100 benchmark, beside 1 for labels"
    features = True

    def __init__(
        self,
        student: Answer,
        teacher: Answer,
        size: Size,
        *,
        negatives: int = 16384,
        momentum: float = 0.5,
        temperature: float = 0.07,
        dimension: int = 128,
    ) -> None:
        super().__init__(student, teacher, size)
        if not (negatives and dimension and temperature):
            raise ModelError("loss crd: negatives, dimension and temperature must be above 0")
        if momentum > 1:
            raise ModelError(f"loss crd: momentum is the share of the old that stays, from 0 to 1, not {momentum}")
        self.count, self.images = min(negatives, size.images), size.images
        self.momentum, self.temperature = momentum, temperature
        dtype = exact(student.features)
        self.student = nn.Linear(student.features.shape[1], dimension, dtype=dtype)
        self.teacher = nn.Linear(teacher.features.shape[1], dimension, dtype=dtype)
        for bank in ("student_bank", "teacher_bank"):
            self.register_buffer(bank, unit(torch.randn(size.images, dimension, dtype=dtype)))
        self.register_buffer("classes", torch.full((size.images,), -1))
        self.register_buffer("log_z", torch.full((2,), -math.inf, dtype=dtype))

    student_bank: Tensor
    teacher_bank: Tensor
    classes: Tensor
    log_z: Tensor

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = relatable(student.features, teacher.features, "features")
        if int(question.index.max()) >= self.images:
            raise ModelError(f"loss crd: image {int(question.index.max())} of a set of {self.images}: it remembers "
                             "every image, so make a new one for this training set")
        with torch.autocast(own.device.type, enabled=False):
            u, v = _embedded(self.student, own, "student"), _embedded(self.teacher, target, "teacher")
            index = question.index.to(u.device)
            draws = drawn(self.count, self.images, question.done).to(u.device)
            others = (draws != index[:, None]) & (self.classes[draws] != question.labels[:, None])
            own_cost, own_z = self._contrast(u, self.teacher_bank, self.log_z[0], index, draws, others)
            target_cost, target_z = self._contrast(v, self.student_bank, self.log_z[1], index, draws, others)
        if self.training and torch.is_grad_enabled():
            self._remember(question.labels, index, u.detach(), v.detach())
            self.log_z.copy_(torch.stack([own_z, target_z]).detach())
        return own_cost + target_cost

    def _contrast(
        self, anchors: Tensor, bank: Tensor, log_z: Tensor, index: Tensor, draws: Tensor, others: Tensor
    ) -> tuple[Tensor, Tensor]:
        """c(a, B), mean over the anchors, and log Z; ``others`` [N, draws] says which draws are negatives of whom."""
        positive = (anchors * bank[index]).sum(dim=1) / self.temperature
        negative = anchors @ bank[draws].T / self.temperature
        estimate = negative.flatten().logsumexp(dim=0) + math.log(self.images / negative.numel())
        log_z = torch.where(log_z.isinf(), estimate, log_z)
        # The logit of h is x / tau - threshold, so that its logarithms are softplus of it.
        threshold = log_z + (others.sum(dim=1, dtype=bank.dtype).clamp(min=1) / self.images).log()
        wrong = (functional.softplus(negative - threshold[:, None]) * others).sum(dim=1)
        return (functional.softplus(threshold - positive) + wrong).mean(), log_z

    @torch.no_grad()
    def _remember(self, labels: Tensor, index: Tensor, u: Tensor, v: Tensor) -> None:
        self.classes[index] = labels
        for bank, new in ((self.student_bank, u), (self.teacher_bank, v)):
            bank[index] = unit(self.momentum * bank[index] + (1 - self.momentum) * new)


def _embedded(embed: nn.Linear, rows: Tensor, whose: str) -> Tensor:
    """Rows [N, F] as unit vectors in the precision of the map."""
    if rows.shape[1] != embed.in_features:
        raise ModelError(f"loss crd: the {whose}'s features have {rows.shape[1]} numbers, but it was made for "
                         f"{embed.in_features}: make a new one for these networks")
    return unit(embed(rows.to(embed.weight.dtype)))
