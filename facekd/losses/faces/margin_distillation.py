"""Margin distillation: a margin softmax of the student against the teacher's class centres."""

from __future__ import annotations

import math

from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import comparable
from facekd.losses.faces.centres import Centres
from facekd.losses.faces.margin import margin_cross_entropy, refuse_unusable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


@register
class MarginDistillation(Loss):
    """Margin cross entropy of the student against the teacher's class centres (Svitov & Alyamkin, 2020).

    The centre of a person is the direction of the mean of the teacher's unit embeddings of his or her images, found in
    a lesson before the student follows the teacher; it receives no gradient. Each image has its own angular margin,
    from the angle between the teacher's embedding of it and its centre: ``most`` where they coincide, ``least`` at a
    right angle and beyond, a straight line between. An image the teacher itself finds hard asks less of the student.

    From the paper are the teacher's centres and a margin by the teacher's angle. Ours, as we do not know its exact
    form, are the line between the two margins and their values; ``most`` is ArcFace's margin.

    A person no lesson has shown takes the centre from the batch at hand, if he or she is in it.

    Options:
        scale: of the cosines.
        most: margin in radians of an image at its centre, below pi / 2.
        least: margin of an image at a right angle to its centre; not above ``most``.
        lessons: epochs of looking at the teacher's embeddings; one shows every image once.
    """

    name = "margin-distillation-ours"
    paper = "Svitov & Alyamkin, MarginDistillation: Distillation for Face Recognition Neural Networks with "\
            "Margin-Based Softmax, 2020"
    equation = (
        "mean_i CE(scale cos(s_i, c), cos(theta_i + m_i) for the true class), c the teacher's class centres, "
        "m_i = most - (most - least) min(1, angle(t_i, c_y) / (pi / 2))"
    )
    weight = 1.0
    origin = "ours: 1, as it stands alone in the place of a margin softmax"
    alone = True
    faces = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, scale: float = 64.0, most: float = 0.5,
        least: float = 0.2, lessons: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, size)
        refuse_unusable(self.name, scale, most)
        if least > most:
            raise ModelError(f"loss {self.name}: least is {least} and most {most}: give most the larger margin")
        self.scale, self.most, self.least, self.lessons = scale, most, least, lessons
        self.centres = Centres(teacher, size, self.name)

    def lesson(self, teacher: Answer, question: Question) -> None:
        """See `Loss.lesson`; nothing is learned, the centres are looked at."""
        self.centres.look(teacher, question)

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = comparable(student.outputs, teacher.outputs, "embeddings", "give the student a projection")
        centres = self.centres.directions_with(target, question.labels)
        margins = self._margins(target, centres[question.labels].to(target.dtype))
        return margin_cross_entropy(own, centres, question.labels, margins, scale=self.scale)

    def _margins(self, teacher: Tensor, centres: Tensor) -> Tensor:
        """The margin [N] of each image, from the teacher's embeddings [N, D] and their own centres [N, D]."""
        angles = (unit(teacher) * unit(centres)).sum(dim=1).clamp(-1, 1).acos()
        return self.most - (self.most - self.least) * (angles / (math.pi / 2)).clamp(max=1)
