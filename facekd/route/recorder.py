"""Recording of a route during the training of its teacher."""

from __future__ import annotations

from facekd.distributed import is_main_process
from facekd.models.registry import Network
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.trainer import CheckpointEvent


class RouteRecorder:
    """Appends a point to a route at selected checkpoint events; a resumed run continues its route.

    The last step before each drop of the learning rate and the last step of the training are always recorded.

    Args:
        run: the run whose folder contains the route.
        network: the network whose weights are recorded.
        every_epochs: the number of epochs between two points; 0 records nothing at all.
        steps_per_epoch: the number of training steps of an epoch.
    """

    def __init__(self, run: Run, network: Network, every_epochs: float, steps_per_epoch: int) -> None:
        self.network = network
        self.every_epochs = every_epochs
        self.interval = max(1, round(every_epochs * steps_per_epoch))
        if (run.route / "route.json").exists():
            self.route = Route.open(run.path)
        else:
            self.route = Route(run.route, network.spec)

    def __call__(self, event: CheckpointEvent) -> None:
        """Record the network if the event is due; only the main process writes."""
        if not self.every_epochs or not is_main_process():
            return
        if event.reason != "epoch" or event.step % self.interval == 0:
            self.route.record(self.network, event.step, event.epoch, event.learning_rate, event.reason, event.metrics)
