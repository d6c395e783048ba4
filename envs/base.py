"""What all memory environments share: anchors for the score, an oracle, presets of difficulty."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from memory_agents.envs.arguments import check_option

Observation: TypeAlias = NDArray[Any]
Action: TypeAlias = int | np.integer[Any]
Frame: TypeAlias = NDArray[np.uint8]
Masks: TypeAlias = NDArray[np.bool_]


class Oracle(Protocol):
    """A scripted player that remembers, from observations alone, all that the task asks for."""

    def reset(self) -> None:
        """Forget everything: a new episode begins."""

    def act(self, observation: Observation) -> int:
        """Take in the next observation of the episode and return the best action.

        :param observation: One observation of the environment the oracle came from.
        """


class MemoryEnv(gym.Env[Observation, Action], ABC):
    """An environment that cannot be played well without memory.

    Three returns anchor the score, each the expected return of an episode for this environment's arguments:
    the best there is, the best that can be had by acting on the current observation alone, and that of uniformly
    random actions. A subclass takes its arguments by keyword, and puts ``is_success`` into the info of an episode's
    last step. An episode is a function of a row of uniform numbers, :attr:`draws` of them, and of the actions: nothing
    is drawn later, so that many can be made at once (:mod:`memory_agents.envs.batched`).

    :param render_mode: None, or ``"rgb_array"`` for frames from :meth:`render`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    #: What is remembered, in MIKASA's terms: ``object``, ``spatial``, ``sequential``, ``capacity``.
    tags: ClassVar[tuple[str, ...]]

    #: Keyword arguments for the settings ``train``, ``interpolate`` (nothing longer than trained on) and
    #: ``extrapolate`` (at least twice as long as trained on).
    presets: ClassVar[dict[str, dict[str, Any]]]

    #: How many uniform numbers make an episode; the constructor sets it.
    draws: int

    def __init__(self, *, render_mode: str | None = None) -> None:
        if render_mode is not None:
            check_option("render_mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self._begun = False
        self._playing = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode and return its first observation and an empty info.

        :param seed: Seed for :attr:`np_random`; None draws on.
        :param options: Not used.
        """
        super().reset(seed=seed)
        self._begun = self._playing = True
        return self._begin(self.np_random.random(self.draws)), {}

    @abstractmethod
    def plan(self, uniforms: NDArray[np.float64]) -> Any:
        """Return what chance decides of episodes: a named tuple of arrays, whose first axis is the episode.

        :param uniforms: Uniform numbers from [0, 1), ``(episodes, draws)``.
        """

    @abstractmethod
    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        """Begin an episode and return its first observation.

        :param uniforms: The uniform numbers that make it, ``(draws,)``.
        """

    @property
    def optimum_varies(self) -> bool:
        """Whether episodes differ in what can be had from them.

        Then :attr:`optimal_return` is a mean over episodes that the oracle reaches in the mean; otherwise the oracle
        reaches it in every one.
        """
        return False

    @property
    @abstractmethod
    def optimal_return(self) -> float:
        """Expected return of the best play with memory."""

    @property
    @abstractmethod
    def memoryless_return(self) -> float:
        """Expected return of the best play that sees the current observation only."""

    @property
    @abstractmethod
    def random_return(self) -> float:
        """Expected return of uniformly random actions."""

    @abstractmethod
    def oracle(self) -> Oracle:
        """Return a fresh scripted player that reaches :attr:`optimal_return`."""

    def normalized_score(self, episode_return: float) -> float:
        """Return the score: 0 for memoryless play, 1 for optimal play; it is never clipped, so it can be below 0.

        :param episode_return: The return of an episode, or a mean over many.
        """
        return (episode_return - self.memoryless_return) / (self.optimal_return - self.memoryless_return)

    def render(self) -> Any:
        """Return a frame, ``(height, width, 3)`` of bytes, or None without a render mode."""
        if self.render_mode is None:
            return None
        if not self._begun:
            raise ResetNeeded("There is nothing to draw yet: call reset() before render().")
        return self._frame()

    @abstractmethod
    def _frame(self) -> Frame:
        """Draw the present state; it is called after the first reset only."""

    def _check_begun(self, method: str) -> None:
        if not self._begun:
            raise ResetNeeded(f"No episode has begun: call reset() before {method}().")

    def _check_action(self, action: Action, n_actions: int) -> int:
        if not self._playing:
            raise ResetNeeded("The episode is over or has not begun: call reset() before step().")
        action = int(action)
        if not 0 <= action < n_actions:
            raise ValueError(f"action={action} is unknown: pass an integer from 0 to {n_actions - 1}.")
        return action
