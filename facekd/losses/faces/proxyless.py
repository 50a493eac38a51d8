"""ProxylessKD: the student is trained as a classifier against the teacher's frozen class centers."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.comparable import check_comparable
from facekd.losses.faces.class_centers import ClassCenters
from facekd.losses.faces.margin import check_scale_and_margin, margin_cross_entropy
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class Proxyless(Loss):
    """ArcFace's cross entropy of the student against the teacher's centers, after ProxylessKD (Shi et al., 2020).

    From the paper: the student inherits the teacher's classifier, which is frozen, and is trained with ArcFace against
    it and with nothing else. Ours: the classifier is not inherited, because a route stores embedding networks without
    heads; center w_c is the mean of the teacher's unit embeddings of identity c, computed in one epoch of pretraining.
    It is a classifier that the teacher's embeddings imply, for each point of a route anew.

    An identity missing in pretraining has the mean of the teacher's embeddings in the batch as a center; one that is
    not in the batch either has none, and the cosine 0.

    Options:
        margin: m in radians; 0.5 is ArcFace's (Deng et al., CVPR 2019).
        scale: the factor of the cosines; 64 is ArcFace's.
        pretrain_epochs: the epochs over which the centers are computed.
    """

    name = "proxyless-ours"
    family = "faces"
    paper = "after Shi et al., ProxylessKD: Direct Knowledge Distillation with Inherited Classifier, 2020"
    equation = (
        "mean_i CE(scale cos(theta_iy + margin), scale cos(theta_ic) of the rest), cos(theta_ic) = cos(s_i, w_c), "
        "w_c the mean of the teacher's unit embeddings of identity c"
    )
    weight_source = "1: the paper trains with it alone; margin 0.5 and scale 64 from ArcFace (Deng et al., CVPR 2019)"
    uses_labels = True
    works_without_label_term = True
    follows_embeddings = True
    needs_embeddings = True

    def __init__(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        size: DatasetSize,
        *,
        margin: float = 0.5,
        scale: float = 64.0,
        pretrain_epochs: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, size)
        check_scale_and_margin(self.name, scale, margin)
        self.margin = margin
        self.scale = scale
        self.pretrain_epochs = pretrain_epochs
        self.class_centers = ClassCenters(teacher, size, self.name)

    def pretrain_loss(self, teacher: ModelOutput, context: BatchContext) -> Tensor | None:
        """See `Loss.pretrain_loss`: accumulate the class centers; nothing is trained."""
        self.class_centers.accumulate(teacher, context)
        return None

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        embeddings, target = check_comparable(student.outputs, teacher.outputs, "embeddings",
                                              "give the student a projection")
        centers = self.class_centers.centers_with_batch(target, context.labels)
        return margin_cross_entropy(embeddings, centers, context.labels, self.margin, scale=self.scale)
