"""Contrastive distillation: an image's features are distinguished from those of other images, across both networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import compute_dtype
from facekd.losses.pairwise import check_same_images
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize


def sample_images(count: int, images: int, progress: float) -> Tensor:
    """Draw indices of images, uniformly and with replacement; the draw is a function of the training progress.

    Args:
        count: the number of draws.
        images: the number of images of the training set.
        progress: the share of the training done, 0 to below 1.

    Returns:
        int64 [count] on the CPU.
    """
    seed = int(progress * 2**32)  # the generator uses 32 bits of its seed; these must differ from step to step
    return torch.randint(images, (count,), generator=torch.Generator().manual_seed(seed))


@register_loss
class CRD(Loss):
    """Noise contrastive estimation of which features belong to the same image (Tian et al., ICLR 2020, section 3.1).

    Trained linear maps take the features of both networks to unit vectors u (student) and v (teacher). Two memory banks
    store both for every training image. The classifier h is trained to match u_i with the teacher's stored v_i, and not
    with the v_j of m drawn images; and in the same way v_i with the student's stored u. At the end of a training step
    the batch's entries in the banks become momentum * old + (1 - momentum) * new, scaled to unit length.

    From memory of the authors' code: Z is images * mean exp(u.v / tau) over the first batch's draws, one for each bank,
    and constant afterwards; images of the same class are excluded from the negatives. Here a class is known once its
    image was in a batch. m is the number of remaining draws, image by image. Ours: one draw serves the whole batch,
    where the authors draw for every image, so that a matrix product replaces gathering gigabytes of rows; and the draw
    is made with replacement, as NCE's noise is.

    The banks take 8 * dimension bytes per image (6 GB for 5.8 million). They are on the loss's device and in its state.

    Options:
        negatives: the number of draws per batch, at most the number of images.
        momentum: the share of the old entry that stays, at most 1.
        temperature: tau, above 0.
        dimension: the length of u and v.
    """

    name = "crd"
    family = "relations"
    paper = "Tian, Krishnan, Isola, Contrastive Representation Distillation, ICLR 2020"
    equation = (
        "mean_i (c(u_i, V) + c(v_i, U)), c(a, B) = -log h(a.b_i) - sum_j log(1 - h(a.b_j)), "
        "h(x) = e / (e + m / images), e = exp(x / tau) / Z"
    )
    uses_labels = True
    has_memory = True
    weight = 0.8
    weight_source = "the paper's CIFAR-100 benchmark, with weight 1 for labels"
    needs_features = True
    student_bank: Tensor
    teacher_bank: Tensor
    classes: Tensor
    log_z: Tensor

    def __init__(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        size: DatasetSize,
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
        self.count = min(negatives, size.images)
        self.images = size.images
        self.momentum = momentum
        self.temperature = temperature
        dtype = compute_dtype(student.features)
        self.student = nn.Linear(student.features.shape[1], dimension, dtype=dtype)
        self.teacher = nn.Linear(teacher.features.shape[1], dimension, dtype=dtype)
        for bank in ("student_bank", "teacher_bank"):
            self.register_buffer(bank, l2_normalize(torch.randn(size.images, dimension, dtype=dtype)))
        self.register_buffer("classes", torch.full((size.images,), -1))
        self.register_buffer("log_z", torch.full((2,), -math.inf, dtype=dtype))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_rows, teacher_rows = check_same_images(student.features, teacher.features, "features")
        if int(context.index.max()) >= self.images:
            raise ModelError(f"loss crd: image {int(context.index.max())} of a set of {self.images}: the loss stores "
                             "every image, so create a new loss for this training set")
        with torch.autocast(student_rows.device.type, enabled=False):
            u = _embed(self.student, student_rows, "student")
            v = _embed(self.teacher, teacher_rows, "teacher")
            index = context.index.to(u.device)
            draws = sample_images(self.count, self.images, context.progress).to(u.device)
            is_negative = (draws != index[:, None]) & (self.classes[draws] != context.labels[:, None])
            student_loss, student_z = self._contrast(u, self.teacher_bank, self.log_z[0], index, draws, is_negative)
            teacher_loss, teacher_z = self._contrast(v, self.student_bank, self.log_z[1], index, draws, is_negative)
        if self.training and torch.is_grad_enabled():
            self._update_banks(context.labels, index, u.detach(), v.detach())
            self.log_z.copy_(torch.stack([student_z, teacher_z]).detach())
        return student_loss + teacher_loss

    def _contrast(
        self, anchors: Tensor, bank: Tensor, log_z: Tensor, index: Tensor, draws: Tensor, is_negative: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of c(a, B) over the anchors, and log Z.

        ``is_negative``, bool [N, draws], marks the draws that are negatives of each anchor.
        """
        positive = (anchors * bank[index]).sum(dim=1) / self.temperature
        negative = anchors @ bank[draws].T / self.temperature
        estimate = negative.flatten().logsumexp(dim=0) + math.log(self.images / negative.numel())
        log_z = torch.where(log_z.isinf(), estimate, log_z)  # estimated once, from the first batch
        # The logit of h is x / tau - threshold, so -log h and -log(1 - h) are softplus of minus and plus that logit.
        threshold = log_z + (is_negative.sum(dim=1, dtype=bank.dtype).clamp(min=1) / self.images).log()
        negative_terms = (functional.softplus(negative - threshold[:, None]) * is_negative).sum(dim=1)
        return (functional.softplus(threshold - positive) + negative_terms).mean(), log_z

    @torch.no_grad()
    def _update_banks(self, labels: Tensor, index: Tensor, u: Tensor, v: Tensor) -> None:
        self.classes[index] = labels
        for bank, new in ((self.student_bank, u), (self.teacher_bank, v)):
            bank[index] = l2_normalize(self.momentum * bank[index] + (1 - self.momentum) * new)


def _embed(linear: nn.Linear, rows: Tensor, network: str) -> Tensor:
    """Map rows [N, F] to unit vectors, in the dtype of the linear map."""
    if rows.shape[1] != linear.in_features:
        raise ModelError(f"loss crd: the {network}'s features have {rows.shape[1]} values, but the loss was created "
                         f"for {linear.in_features}: create a new loss for these networks")
    return l2_normalize(linear(rows.to(linear.weight.dtype)))
