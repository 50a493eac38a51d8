"""The registry of online distillation methods: their default terms, defaults of their joint teacher, and descriptions.

It imports no network code, so that recipes and reports can use it; `facekd.methods.online` contains the methods.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OnlineMethod:
    """A method that trains the teacher jointly with the student.

    Attributes:
        name: the name in recipes.
        paper: authors, title or venue, year.
        equation: the terms in plain text.
        weight: the default weights and their source.
        options: the recipe keys of the method with their defaults.
        description: the method in prose, with its deviations from the paper.
        fresh_teacher: whether the joint teacher starts from fresh weights by default.
        cosine_weight: the default weight of a face network's ``cosine`` term; None: the default weight of that loss.
            (Classes use ``kd`` with temperature 1 and weight 1.)
        label_weight: the default weight of the labels in the student's loss; None: none, unless ``kd`` is named too
            and brings its own.
    """

    name: str
    paper: str
    equation: str
    weight: str
    options: str
    description: str
    fresh_teacher: bool
    cosine_weight: float | None
    label_weight: float | None


_PROKT = OnlineMethod(
    name="prokt",
    paper="Shi et al., Follow Your Path, ECML-PKDD 2021",
    equation="teacher: (1 - lambda) CE + lambda KL(p_s || q_t); then student: KL(q_t || p_s)",
    weight="lambda 0.3, in the range of the authors' recipes for text (0.3 and 0.4)",
    options="joint_teacher.student_weight=0.3, joint_teacher.mode=penalty|dual, joint_teacher.epsilon=1.0, "
            "joint_teacher.dual_lr=0.001, joint_teacher.fresh=false, joint_teacher.zero_init_classifier=true, "
            "joint_teacher.lr_scale=0.3",
    description="""\
ProKT takes two optimizer steps a batch: one of the teacher, then one of the student, which follows the updated teacher.

Order and losses are those of the authors' program for text. The teacher minimizes (1 - lambda) CE + lambda
KL(p_s || q_t), with the student's output p_s taken before either step. In the mode ``dual`` it minimizes CE + beta
(KL - epsilon); beta grows by dual_lr (KL - epsilon) and is never below 0. For faces the first term is the loss of the
margin head and the second 1 - cos of the embeddings, with weights 1 and lambda: this is ours.

Each network sees the other's outputs without dropout and with the batch's own statistics, which are not added to the
running statistics. The authors' program uses evaluation mode, for text networks without batch norms.""",
    fresh_teacher=False,
    cosine_weight=None,
    label_weight=None,
)

_DML = OnlineMethod(
    name="dml",
    paper="Zhang et al., Deep Mutual Learning, CVPR 2018",
    equation="each in turn: CE + KL(p_other || p_self); with 'dml + LOSS' the loss is added on both sides",
    weight="1, the paper",
    options="joint_teacher.fresh=true, joint_teacher.lr_scale=1.0",
    description="""\
Deep mutual learning takes two optimizer steps a batch: one of the teacher, then one of the student, which follows the
updated teacher. Both minimize the same terms with the roles exchanged.

Each network sees the other's outputs without dropout and with the batch's own statistics, which are not added to the
running statistics.""",
    fresh_teacher=True,
    cosine_weight=1.0,
    label_weight=1.0,
)

ONLINE_METHODS = {method.name: method for method in (_DML, _PROKT)}
"""The online methods by name."""
