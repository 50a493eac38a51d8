"""Factor transfer: the student's translated last feature map approaches the paraphrase of the teacher's."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.comparable import compute_dtype
from facekd.losses.feature_maps import require_feature_maps
from facekd.losses.maps.factors import FactorCoder, FactorLoss, factor_distance, match_factors
from facekd.losses.registry import register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class FactorTransfer(FactorLoss):
    """`factor_distance` of the translated student's map and the paraphrased teacher's (Kim et al., NeurIPS 2018).

    The paraphraser is the encoder of an auto-encoder, which is pretrained to reconstruct the teacher's last feature
    map. The translator is an encoder of the same form for the student's last feature map and is trained with the
    student. Where the factors' resolutions differ, the larger is averaged down to the smaller.

    The benchmark of CRD (Tian et al., ICLR 2020) has weight 200 for factor transfer, with a rate of 0.5; but its code
    squares the factors and averages them over the channels before it normalizes them. The distance here is that of the
    paper and of the public code of Huang et al. (CVPR 2021), whose weight is 500. The paper trains the paraphraser for
    30 epochs.

    Options:
        rate: the channels of the factor as a share of the teacher's, above 0 and at most 1.
        pretrain_epochs: the epochs of the paraphraser's pretraining for each teacher.
    """

    name = "ft"
    family = "maps"
    paper = "Kim, Park, Kwak, Paraphrasing Complex Network: Network Compression via Factor Transfer, NeurIPS 2018"
    equation = "mean |T(F_s) / |T(F_s)|_2 - P(F_t) / |P(F_t)|_2|, norms over an image's factor"
    weight = 500.0
    weight_source = "public code of Huang et al. (CVPR 2021), whose distance it is; CRD's benchmark has 200 for another"
    needs_feature_maps = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, rate: float = 0.5,
        pretrain_epochs: float = 5.0,
    ) -> None:
        super().__init__(student, teacher, size, rate, pretrain_epochs)
        student_map = require_feature_maps(student, "student", self.name)[-1]
        self.translator = FactorCoder(student_map.shape[1], self.extractor.channels, compute_dtype(student_map))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_map = require_feature_maps(student, "student", self.name)[-1]
        return factor_distance(*match_factors(self.translator(student_map), self.factor(teacher)))
