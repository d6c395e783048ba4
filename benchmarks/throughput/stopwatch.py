"""Seconds spent in methods of an agent that is left to run as it always does."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch as th

#: Seconds as they pass; and those in which this process was at work, which other work of the machine makes longer only
#: by way of caches and shared cores.
WALL, CPU = CLOCKS = ("wall", "cpu")


class Stopwatch:
    """
    :param device: where the work is done; what it has been given is waited for before the clock is read
    :param clock: ``"wall"``, or ``"cpu"`` for the CPU seconds of this process, which with one thread and nothing else
        at work are the same
    """

    def __init__(self, device: th.device, clock: str = WALL) -> None:
        self.device, self.clock = device, clock
        #: Seconds by what was timed, since :meth:`take`.
        self.seconds: dict[str, float] = defaultdict(float)

    def now(self) -> float:
        """
        :return: seconds on the clock, with no work outstanding
        """
        if self.device.type == "cuda":
            th.cuda.synchronize(self.device)
        return time.process_time() if self.clock == CPU else time.perf_counter()

    def time(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """
        :param name: what its seconds are added to
        :param function: any function
        :return: the same, timed
        """

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self.now()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += self.now() - start

        return timed

    def attach(self, name: str, owner: object, *methods: str) -> None:
        """
        Time methods of one object, whoever calls them.

        :param name: what their seconds are added to
        :param owner: the object
        :param methods: names of its methods
        """
        for method in methods:
            setattr(owner, method, self.time(name, getattr(owner, method)))

    def take(self) -> dict[str, float]:
        """
        :return: the seconds since the last call of this
        """
        taken, self.seconds = dict(self.seconds), defaultdict(float)
        return taken
