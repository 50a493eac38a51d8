"""Records a route while its teacher is trained."""

from __future__ import annotations

from facekd.distributed import leads
from facekd.models.registry import Network
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.trainer import Moment


class Recorder:
    """Appends a point at the moments worth it; a run that is continued goes on with its route.

    Args:
        run: where the route lies.
        network: whose weights are recorded.
        every: epochs between two points; 0 records nothing. The last step before each drop of the learning rate and
            the last step of all are recorded in any case.
        steps: of an epoch.
    """

    def __init__(self, run: Run, network: Network, every: float, steps: int) -> None:
        self.network, self.every, self.interval = network, every, max(1, round(every * steps))
        self.route = Route.open(run.path) if (run.route / "route.json").exists() else Route(run.route, network.spec)

    def __call__(self, moment: Moment) -> None:
        """Record the network as it is at ``moment``, if that is worth a point; one process does it for all."""
        if leads() and self.every and (moment.reason != "epoch" or moment.step % self.interval == 0):
            self.route.record(self.network, moment.step, moment.epoch, moment.learning_rate, moment.reason,
                              moment.metrics)
