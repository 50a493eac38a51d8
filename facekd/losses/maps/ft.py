"""Factor transfer: the student's last map, translated, is brought to what a paraphraser makes of the teacher's."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.comparable import exact
from facekd.losses.feature_maps import maps_of
from facekd.losses.maps.factors import Coder, FactorLoss, distance, levelled
from facekd.losses.registry import register
from facekd.types import Answer, Question, Size


@register
class FactorTransfer(FactorLoss):
    """`factors.distance` of the translated student's map and the paraphrased teacher's (Kim et al., NeurIPS 2018).

    The paraphraser is the encoder of an auto-encoder, which in lessons learns to retell the teacher's last map; the
    translator is a like encoder of the student's last map and learns with the student. Where the factors' sides differ,
    the larger is averaged down to the smaller.

    The benchmark of CRD (Tian et al., ICLR 2020) weighs factor transfer 200, with a rate of 0.5; but its code squares
    the factors and averages them over the channels before it normalises them. The distance here is that of the paper
    and of the public code of Huang et al. (CVPR 2021), which weighs it 500. The paper trains the paraphraser for 30
    epochs.

    Options:
        rate: channels of the factor as a share of the teacher's, above 0 and at most 1.
        lessons: epochs of the paraphraser's training for each teacher.
    """

    name = "ft"
    paper = "Kim, Park, Kwak, Paraphrasing Complex Network: Network Compression via Factor Transfer, NeurIPS 2018"
    equation = "mean |T(F_s) / |T(F_s)|_2 - P(F_t) / |P(F_t)|_2|, norms over an image's factor"
    weight = 500.0
    origin = "public code of Huang et al. (CVPR 2021), whose distance it is; CRD's benchmark has 200 for another"
    maps = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, rate: float = 0.5, lessons: float = 5.0
    ) -> None:
        super().__init__(student, teacher, size, rate, lessons)
        own = maps_of(student, "student", self.name)[-1]
        self.translator = Coder(own.shape[1], self.extractor.channels, exact(own))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own = maps_of(student, "student", self.name)[-1]
        return distance(*levelled(self.translator(own), self.factor(teacher)))
