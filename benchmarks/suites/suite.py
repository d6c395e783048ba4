"""What a suite of environments by others is: its ids, how to install it, how to make it fit for the agents here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class Suite:
    """
    :param package: module to import
    :param distribution: its name on the package index
    :param install: command that installs it
    :param prefixes: how its ids begin
    :param example: one of its ids
    :param adapt: wraps one of its environments so that observations are arrays that a policy can read
    :param prepare: what must happen before its package is imported
    :param register: registers its ids with Gymnasium, where importing it does not
    """

    package: str
    distribution: str
    install: str
    prefixes: tuple[str, ...]
    example: str
    adapt: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]
    prepare: Callable[[], None] | None = None
    register: Callable[[], None] | None = None

    def owns(self, env_id: str) -> bool:
        """
        :param env_id: an environment id, or ``module:id``, registered or not
        :return: whether it is one of this suite's
        """
        return env_id.rpartition(":")[2].startswith(self.prefixes)

    @property
    def installed(self) -> bool:
        """Whether its package is there; it is not imported for that."""
        return find_spec(self.package) is not None

    def load(self) -> None:
        """
        Import the suite, so that its ids are registered with Gymnasium; another time this changes nothing.

        :raises ImportError: when it is not installed, or its import fails; the message has the command that installs it
        """
        if not self.installed:
            raise ImportError(f"{self.distribution} is not installed; run: {self.install}")
        # pygame, which some of them import, greets on the standard output.
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "hide")
        if self.prepare is not None:
            self.prepare()
        try:
            import_module(self.package)
            if self.register is not None:
                self.register()
        except (Exception, SystemExit) as error:
            # Whatever it was, the user's own task may have nothing to do with this suite.
            raise ImportError(f"{self.distribution} cannot be imported ({error}); run: {self.install}") from error

    def ids(self) -> list[str]:
        """
        :return: its registered ids; none before :meth:`load`
        """
        return [env_id for env_id in gym.registry if self.owns(env_id)]
