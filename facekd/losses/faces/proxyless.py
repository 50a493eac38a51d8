"""ProxylessKD: the student learns people as the teacher knows them, against the teacher's frozen class centres."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.comparable import comparable
from facekd.losses.faces.centres import Centres
from facekd.losses.faces.margin import margin_cross_entropy, refuse_unusable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


@register
class Proxyless(Loss):
    """ArcFace's cross entropy of the student against the teacher's centres, after ProxylessKD (Shi et al., 2020).

    From the paper: the student inherits the teacher's classifier, which is frozen, and is trained with ArcFace against
    it and with nothing else. Ours: the classifier is not inherited, because a route keeps embeddings and no heads;
    centre w_c is the mean of the teacher's unit embeddings of person c, found in one epoch of lessons. It is a
    classifier that the teacher's embeddings imply, for each point of a route anew.

    A person whom no lesson has shown has the mean of the teacher's embeddings in the batch as a centre; one who is not
    in the batch either has none, and the cosine 0.

    Options:
        margin: m in radians; 0.5 is ArcFace's (Deng et al., CVPR 2019).
        scale: of the cosines; 64, likewise.
        lessons: epochs over the training set in which the centres are found.
    """

    name = "proxyless-ours"
    paper = "after Shi et al., ProxylessKD: Direct Knowledge Distillation with Inherited Classifier, 2020"
    equation = (
        "mean_i CE(scale cos(theta_iy + margin), scale cos(theta_ic) of the rest), cos(theta_ic) = cos(s_i, w_c), "
        "w_c the mean of the teacher's unit embeddings of person c"
    )
    origin = "1: the paper trains with it alone; margin 0.5 and scale 64 from ArcFace (Deng et al., CVPR 2019)"
    alone = True
    faces = True

    def __init__(
        self,
        student: Answer,
        teacher: Answer,
        size: Size,
        *,
        margin: float = 0.5,
        scale: float = 64.0,
        lessons: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, size)
        refuse_unusable(self.name, scale, margin)
        self.margin, self.scale, self.lessons = margin, scale, lessons
        self.centres = Centres(teacher, size, self.name)

    def lesson(self, teacher: Answer, question: Question) -> Tensor | None:
        """See `Loss.lesson`: the centres are looked at, nothing is trained."""
        self.centres.look(teacher, question)
        return None

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = comparable(student.outputs, teacher.outputs, "embeddings", "give the student a projection")
        directions = self.centres.directions_with(target, question.labels)
        return margin_cross_entropy(own, directions, question.labels, self.margin, scale=self.scale)
