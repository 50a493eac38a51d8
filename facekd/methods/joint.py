"""Teachers that are trained beside their student, each drawn to where the other is: ProKT and deep mutual learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, PartnerRecipe
from facekd.data.loading.loader import Batch, Loader
from facekd.distributed import mean
from facekd.heads import create_head
from facekd.losses import Loss
from facekd.losses.responses.embeddings import cosine
from facekd.losses.responses.kd import kl
from facekd.methods.distillation import Distillation, pupils, weighed
from facekd.methods.objective import LABELS, Mixture
from facekd.models.feature_extractor import Tapped, aside, blank
from facekd.models.registry import Network
from facekd.route.teacher import Teacher
from facekd.training.method import Turn
from facekd.types import Answer, Question


class Together(Distillation):
    """Two turns a batch: the teacher's step, and then a step of the student, who follows the teacher as it is then.

    ProKT (Shi et al., Follow Your Path, ECML-PKDD 2021; order and losses as in the authors' program for text) trains
    the teacher by (1 - lambda) CE + lambda KL(p_s || q_t), with the student's output p_s taken before either step; in
    the mode ``dual`` by CE + beta (KL - epsilon), beta growing by step (KL - epsilon) and never below 0. For faces the
    first term is the margin head's and the second 1 - cos of the embeddings, with weights 1 and lambda: this is ours.

    Deep mutual learning (Zhang et al., CVPR 2018) trains both by the same terms with the roles exchanged.

    What either takes from the other is taken as `aside` has it: without dropout, and with the batch's own statistics,
    which are not counted. ProKT's program asks in evaluation mode, of networks for text, which have no batch norms.

    Args:
        student: the network.
        partner: the teacher, fresh or not.
        mixture: the student's terms, and which of the two methods it is.
        recipe: how the teacher is trained, settled for the method.
        head: of the terms on labels.
        loader: of the training set.
        taps: where the maps of student and teacher are taken.
    """

    beta: Tensor

    def __init__(self, student: Network, partner: Network, mixture: Mixture, recipe: PartnerRecipe, head: HeadRecipe,
                 loader: Loader, taps: tuple[Sequence[str], Sequence[str]] = ((), ())) -> None:
        moving = _Moving(partner, mixture.looks_inside(head.closed), taps[1])
        super().__init__(student, mixture, lambda points: moving, moving.sample(), head, loader, taps[0])
        self.partner, self._moving, self._recipe, self._mutual = partner, moving, recipe, mixture.partner == "dml"
        self.partner_head = create_head(outputs=partner.spec.outputs, classes=loader.images.classes, **dict(head))
        self.pace = dict.fromkeys(("partner", "partner_head"), recipe.pace or 1.0)
        self.register_buffer("beta", torch.tensor(1.0))
        if self._mutual:
            self.returned = self._losses(self._features(moving.sample()), self._aside(blank(student)))
        elif recipe.uniform and recipe.fresh and head.closed:  # equal probabilities, and so no distance to begin with
            for network in (student, partner):
                for weight in network.get_submodule(network.final).parameters():
                    nn.init.zeros_(weight)

    def _lessons(self) -> list[tuple[Loss, Callable[[Batch], Answer]]]:
        """See `Distillation._lessons`; what the teacher follows in its turn is taught about the student."""
        own = super()._lessons()
        if not self._mutual:
            return own
        return [*own, *((loss, lambda batch: self._aside(batch.images)) for loss in pupils(self.returned))]

    @property
    def networks(self) -> list[nn.Module]:
        """See `Method.networks`: the student and the teacher."""
        return [self.student, self.partner]

    def turns(self, batch: Batch, done: float) -> list[Turn]:
        """See `Method.turns`: ``teacher.NAME`` for the teacher's terms, then the student's."""
        return [lambda: self._partner_losses(batch, done), lambda: self.losses(batch, done)]

    def _partner_losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        terms = self._mutual_terms(batch, done) if self._mutual else self._drawn_terms(batch)
        return {f"teacher.{name}": term for name, term in terms.items()}

    def _drawn_terms(self, batch: Batch) -> dict[str, Tensor]:
        """ProKT: labels, and the distance to the student."""
        recipe, there = self._recipe, self.outputs(batch.images)
        outputs = self.partner(self.partner.inputs(batch.images))
        labels = self.partner_head.loss(outputs, batch.labels)
        # kl(x, y) is KL(y || x): the student's distribution stands first.
        distance = kl(outputs, there).mean() if self._closed else cosine(outputs, there)
        if recipe.mode == "dual":
            beta, apart = self.beta.clone(), mean(distance.detach().clone())
            self.beta.copy_((beta + recipe.step * (apart - recipe.slack)).clamp(min=0))
            return {LABELS: labels, "pull": beta * (distance - recipe.slack)}
        return {LABELS: (1 - recipe.pull if self._closed else 1) * labels, "pull": recipe.pull * distance}

    def _mutual_terms(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """Deep mutual learning: the student's terms, with the roles exchanged."""
        answer = self._moving.ask(self.partner.inputs(batch.images))
        question, weights = Question(batch.labels, batch.index, done), self._weights(done)
        terms = weighed(weights, self.returned, self._features(answer), self._aside(batch.images), question)
        if LABELS in weights:
            terms[LABELS] = weights[LABELS] * self.partner_head.loss(answer.outputs, batch.labels)
        return terms


class _Moving(Teacher):
    """A network in training as a teacher, as it is when it is asked; see `aside`."""

    def __init__(self, network: Network, inside: bool, taps: Sequence[str]) -> None:
        self.network, self.dimension = network, network.spec.outputs
        self.ask = Tapped(network, taps) if inside else lambda x: Answer(network(x))

    def answer(self, batch: Batch) -> Answer:
        """See `Teacher.answer`."""
        return aside(self.network, self.ask, batch.images)

    def sample(self) -> Answer:
        """See `Teacher.sample`."""
        return aside(self.network, self.ask, blank(self.network))
