"""Triplet distillation: a triplet loss on identities, with margins from the teacher's distances."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin_head import cosine_matrix
from facekd.losses.comparable import check_comparable
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class TripletDistillation(Loss):
    """Mean over triplets (a, p, n) of max(0, d_s(a, p) - d_s(a, n) + m) (Feng et al., 2019).

    Anchor and positive show one identity and the negative another; d is the squared distance of unit embeddings,
    2 - 2 cos. The margin m depends linearly on the teacher's gap g = max(0, d_t(a, n) - d_t(a, p)), from
    ``min_margin`` for a gap of 0 to ``max_margin`` at the widest gap of the batch: identities that differ much for the
    teacher are pushed further apart.

    From the paper is the triplet with a margin from the teacher's gap; that the line ends at the batch's widest gap,
    and the default margins, are from memory. Ours is the choice of triplets: all of a batch, pairs in both orders. The
    hardest negative alone made the embeddings of a face student collapse (cosines of 0.43 between strangers, where
    other methods leave 0.1). It takes memory for as many numbers as pairs times images.

    A batch without two images of one identity, or with one identity only, costs 0. Random batches have few pairs: of
    85,000 identities with 68 images each, one image in 170 has a pair among 512; of 1,554 identities with 8,395 images
    (median 3 per identity), 30 % have one among 128 and 48 % among 512, most of them of the few identities with
    hundreds of images. Larger batches, or a training set of fewer identities with more images each, help, and so would
    batches drawn by identity. As the mean is over triplets, a batch with one pair moves its images as strongly as one
    with many moves all of its.

    Options:
        min_margin: the margin where the teacher's gap is 0 or less.
        max_margin: the margin at the batch's widest gap; not below ``min_margin``.
    """

    name = "triplet-distillation-ours"
    family = "faces"
    paper = "Feng et al., Triplet Distillation for Deep Face Recognition, 2019"
    equation = (
        "mean over triplets (a, p, n) of max(0, d_s(a, p) - d_s(a, n) + min_margin + (max_margin - min_margin) "
        "g / max g), g = max(0, d_t(a, n) - d_t(a, p)), d = 2 - 2 cos"
    )
    weight = 1.0
    weight_source = "ours: 1"
    uses_labels = True
    needs_embeddings = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, min_margin: float = 0.2,
        max_margin: float = 0.5,
    ) -> None:
        super().__init__(student, teacher, size)
        if min_margin > max_margin:
            raise ModelError(f"loss {self.name}: min_margin is {min_margin} and max_margin {max_margin}: "
                             "give max_margin the larger margin")
        self.min_margin = min_margin
        self.max_margin = max_margin

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        embeddings, target = check_comparable(student.outputs, teacher.outputs, "embeddings",
                                              "give the student a projection")
        same = context.labels[:, None] == context.labels
        anchors, positives = torch.where(same & ~torch.eye(len(same), dtype=torch.bool, device=same.device))
        margins = self._margins(_distance_gaps(target, anchors, positives), same[anchors])
        losses = margins - _distance_gaps(embeddings, anchors, positives)
        is_triplet = ~same[anchors]  # [pairs, N]: the images n that are negatives of the anchor
        return losses.relu().mul(is_triplet).sum() / is_triplet.sum().clamp(min=1)

    def _margins(self, gaps: Tensor, same: Tensor) -> Tensor:
        """Return the margin of every triplet, from the teacher's gaps [pairs, N].

        Gaps to images of the anchor's own identity (``same``) are ignored, as they belong to no triplet.
        """
        gaps = gaps.masked_fill(same, 0).clamp(min=0)
        widest = gaps.max() if gaps.numel() else gaps.new_zeros(())
        return self.min_margin + (self.max_margin - self.min_margin) * gaps / torch.where(widest > 0, widest, 1.0)


def _distance_gaps(embeddings: Tensor, anchors: Tensor, positives: Tensor) -> Tensor:
    """Return d(anchor, n) - d(anchor, positive) for every pair and every image n, [pairs, N]."""
    cos = cosine_matrix(embeddings, embeddings)
    return 2 * (cos[anchors, positives][:, None] - cos[anchors])
