"""Recording of a route during the training of its teacher."""

from __future__ import annotations

from facekd.distributed import is_main_process
from facekd.errors import RouteError
from facekd.models.registry import Network
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.method import CheckpointEvent


def route_interval(every_epochs: float, steps_per_epoch: int) -> int:
    """Return the number of steps between two points of a route; 0 if no route is recorded.

    Args:
        every_epochs: the number of epochs between two points, ``route.every_epochs``.
        steps_per_epoch: the number of training steps of an epoch.

    Raises:
        RouteError: the interval is shorter than one step.
    """
    steps = every_epochs * steps_per_epoch
    # Rounded to two digits, because a user may give 0.0833 for one of 12 steps.
    if every_epochs and round(steps, 2) < 1:
        raise RouteError(f"route.every_epochs={every_epochs:g} is {steps:.2g} of a training step, and an epoch has "
                         f"{steps_per_epoch:,}; set it to {1 / steps_per_epoch:.4g} or more, or to 0 for no route")
    return round(steps)


def check_recorded_route(run: Run) -> None:
    """Compare the points of a finished run's route, if it recorded one, with their checksums.

    Raises:
        RouteError: the route or a point is damaged.
    """
    if (run.route / "route.json").exists():
        route = Route.open(run.path)
        for number in range(len(route.points)):
            route.point_file(number)


class RouteRecorder:
    """Appends a point to a route at selected checkpoint events; a resumed run continues its route.

    The last step before each drop of the learning rate and the last step of the training are always recorded.

    Args:
        run: the run whose folder contains the route.
        network: the network whose weights are recorded.
        every_epochs: the number of epochs between two points, also a fraction of one; 0 records nothing at all.
        steps_per_epoch: the number of training steps of an epoch.

    Attributes:
        interval: the number of steps between two points; 0 if nothing is recorded.
        event_every_steps: the value of `Trainer`'s parameter of this name; 0 where the ends of epochs suffice.

    Raises:
        RouteError: the interval is shorter than one step.
    """

    def __init__(self, run: Run, network: Network, every_epochs: float, steps_per_epoch: int) -> None:
        self.network = network
        self.interval = route_interval(every_epochs, steps_per_epoch)
        self.event_every_steps = self.interval if every_epochs < 1 else 0
        if (run.route / "route.json").exists():
            self.route = Route.open(run.path)
        else:
            self.route = Route(run.route, network.spec)

    def __call__(self, event: CheckpointEvent) -> None:
        """Record the network if the event is due; only the main process writes."""
        if not self.interval or not is_main_process():
            return
        if event.reason not in ("epoch", "interval") or event.step % self.interval == 0:
            self.route.record(self.network, event.step, event.epoch, event.learning_rate, event.reason, event.metrics)
