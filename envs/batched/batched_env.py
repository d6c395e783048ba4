"""What all batched environments share: seeds, episodes drawn ahead, time limits, and Gymnasium's vector interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from memory_agents.envs.arguments import check_integer
from memory_agents.envs.batched.bank import Bank
from memory_agents.envs.batched.pickling import pack, unpack

#: Numbers of copies, or all of them.
Copies: TypeAlias = NDArray[np.int64] | slice
#: Infos of some copies: by key, an array with one value for each.
Infos: TypeAlias = dict[str, NDArray[Any]]

EVERYONE = slice(None)


class Step(NamedTuple):
    """What one step of all copies gave.

    :param observations: Observations to act on next, ``(n, ...)``: the first of a new episode where one ended.
    :param rewards: ``(n,)``, float64.
    :param terminated: Whether the episode ended, ``(n,)``, bool.
    :param truncated: Whether it was cut, ``(n,)``, bool.
    :param infos: Infos of the step, of all copies.
    :param ended: Numbers of the copies whose episode is over, ``(k,)``.
    :param lengths: Steps of these episodes, ``(k,)``.
    :param final_observations: Their last observations, ``(k, ...)``.
    :param reset_infos: Infos of the resets that followed.
    :param finished: Numbers of those among them whose episode ``max_episode_steps`` did not cut before, ``(m,)``.
    :param final_infos: What the infos of the last step of these hold besides.
    """

    observations: NDArray[Any]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    infos: Infos
    ended: NDArray[np.int64]
    lengths: NDArray[np.int64]
    final_observations: NDArray[Any]
    reset_infos: Infos
    finished: NDArray[np.int64]
    final_infos: Infos


class BatchedEnv(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]], ABC):
    """Many copies of one environment, played all at once by array operations.

    It gives, to the bit, what as many single environments give: copy ``i`` is seeded by ``seed + i``. A copy whose
    episode ends begins the next one in the same step.

    A subclass keeps the state of all copies in arrays, and says how episodes begin (:meth:`_begin`), what a step does
    (:meth:`_play`) and what is seen (:meth:`_observe`). Chance comes from :attr:`episodes` alone: ``self.row[which]``
    are the rows in which the episodes of some copies stand. :attr:`elapsed` counts the steps of every copy's episode.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    :raises ValueError: If an argument is out of bounds, or frames are asked for by ``render_mode``.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    #: The single environment.
    env_class: ClassVar[type[gym.Env[Any, Any]]]

    #: One single environment, which is asked for its arguments and what follows from them, and is never played.
    env: Any

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        self.num_envs = check_integer("num_envs", num_envs, 1)
        if max_episode_steps is not None:
            max_episode_steps = check_integer("max_episode_steps", max_episode_steps, 1)
        self.max_episode_steps = max_episode_steps
        if kwargs.get("render_mode") is not None:
            raise ValueError(
                f"render_mode={kwargs['render_mode']!r} cannot be had of environments that are played all at once: "
                "pass None, or make a single environment with gymnasium.make."
            )
        self.env = self._make(**kwargs)
        self.single_observation_space, self.single_action_space = self.env.observation_space, self.env.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._nothing_seen = np.zeros((0, *(self.single_observation_space.shape or ())), self.observation_space.dtype)
        space = self.single_action_space
        self._n_actions = int(space.n) if isinstance(space, spaces.Discrete) else 0
        self._bank = Bank(self.num_envs, self._draws(), self._plan)
        self.episodes = self._bank.episodes
        self.row = self._bank.places
        self.elapsed = np.zeros(self.num_envs, np.int64)
        self._all = np.arange(self.num_envs)
        self._playing = False

    # What a subclass says.

    def _make(self, **kwargs: Any) -> Any:
        return self.env_class(**kwargs)

    def _draws(self) -> int:
        draws: int = self.env.draws
        return draws

    def _plan(self, uniforms: NDArray[np.float64]) -> Any:
        """Make episodes, as a named tuple of arrays whose first axis is the episode.

        :param uniforms: Uniform numbers from [0, 1), ``(episodes, draws)``.
        """
        return self.env.plan(uniforms)

    @abstractmethod
    def _begin(self, which: NDArray[np.int64]) -> None:
        """Put some copies at the beginning of the episodes in ``self.row[which]``; their elapsed steps are 0 already.

        :param which: Numbers of the copies.
        """

    @abstractmethod
    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Take a step in all copies; it counts in :attr:`elapsed` already.

        :param actions: Valid actions, ``(n, ...)``.
        :return: Rewards and whether episodes end, ``(n,)``, in arrays that are not written to again.
        """

    def _cut(self, terminated: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Return where the environment itself cuts episodes, ``(n,)``, in a new array; None where it never does.

        :param terminated: Where they end, ``(n,)``.
        """
        return None

    @abstractmethod
    def _observe(self, which: Copies) -> NDArray[Any]:
        """Return what some copies see now, as a new array.

        :param which: Numbers of the copies, or a slice.
        """

    def _infos(self) -> Infos:
        """Return what the infos of this step hold, of all copies, in new arrays."""
        return {}

    def _final_infos(self, which: NDArray[np.int64]) -> Infos:
        """Return what the infos of copies hold besides where episodes have just ended, in new arrays.

        :param which: Numbers of the copies.
        """
        return {}

    def _reset_infos(self, which: NDArray[np.int64]) -> Infos:
        """Return the infos of episodes that have just begun, in new arrays.

        :param which: Numbers of the copies.
        """
        return {}

    # Arrays of a copy must share memory where the original's do.

    def __getstate__(self) -> bytes:
        return pack(self, vars(self))

    def __setstate__(self, state: bytes) -> None:
        vars(self).update(unpack(self, state))

    # What users of all kinds call.

    def begin(
        self, seeds: Sequence[int | None] | None = None, which: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[Any], Infos]:
        """Begin new episodes.

        :param seeds: A seed for each of all the copies, or None to let it go on; None seeds no copy.
        :param which: Numbers of the copies to begin with; None means all.
        :return: Observations of all copies, ``(n, ...)``, and infos of those that began.
        """
        which = self._all if which is None else which
        if seeds is not None:
            self._bank.seed(seeds)
        self._restart(which)
        self._playing = True
        return self._observe(EVERYONE), self._reset_infos(which)

    def _restart(self, which: NDArray[np.int64]) -> None:
        self._bank.go_on(which)
        self.elapsed[which] = 0
        self._begin(which)

    def advance(self, actions: NDArray[Any]) -> Step:
        """Take a step in all copies, and begin new episodes where they end.

        :param actions: One action for each copy, ``(n, ...)``.
        :raises ResetNeeded: If no episode has begun.
        :raises ValueError: If actions are unknown, or not one for each copy.
        """
        self.check_begun("step")
        actions = self._check_actions(actions)
        self.elapsed += 1
        rewards, terminated = self._play(actions)
        cut = self._cut(terminated)
        over = terminated if cut is None else terminated | cut
        truncated = np.zeros(self.num_envs, np.bool_) if cut is None else cut
        ended = finished = over.nonzero()[0]
        if self.max_episode_steps is not None:
            truncated = truncated | (self.elapsed >= self.max_episode_steps)
            ended = (over | truncated).nonzero()[0]
        infos, lengths, final_observations = self._infos(), ended, self._nothing_seen
        final_infos: Infos = {}
        reset_infos: Infos = {}
        if ended.size:
            lengths, final_observations = self.elapsed[ended], self._observe(ended)
            if finished.size:
                final_infos = self._final_infos(finished)
            self._restart(ended)
            reset_infos = self._reset_infos(ended)
        observations = self._observe(EVERYONE)
        # Not by name, which takes half a microsecond more.
        return Step(
            observations,
            rewards,
            terminated,
            truncated,
            infos,
            ended,
            lengths,
            final_observations,
            reset_infos,
            finished,
            final_infos,
        )

    def check_begun(self, method: str) -> None:
        """Complain if no episode has begun.

        :param method: The method that needs one, for the message.
        :raises ResetNeeded: If so.
        """
        if not self._playing:
            raise ResetNeeded(f"No episode has begun: call reset() before {method}().")

    def check_options(self, options: Collection[str]) -> None:
        """Complain if there are options for the reset of single environments.

        :param options: Their names.
        :raises ValueError: If there are any.
        """
        if options:
            raise ValueError(
                f"options={sorted(options)!r} are for the reset of single environments, and copies that are played all "
                "at once take none: leave them out."
            )

    def _check_actions(self, actions: NDArray[Any]) -> NDArray[Any]:
        n_actions = self._n_actions
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,):
            raise ValueError(
                f"actions of shape {actions.shape} do not fit {self.num_envs} environments: pass one for each."
            )
        actions = actions.astype(np.int64, copy=False)
        # Seen as unsigned numbers, negative ones are beyond all bounds; argmax() takes half the time of max().
        numbers = actions.view(np.uint64)
        if numbers[numbers.argmax()] >= n_actions:
            unknown = int(actions[(actions < 0) | (actions >= n_actions)][0])
            raise ValueError(f"action={unknown} is unknown: pass integers from 0 to {n_actions - 1}.")
        return actions

    # Gymnasium's interface.

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin new episodes.

        :param seed: Seed of the first copy, those of the others follow it; or a seed for each; None draws on.
        :param options: ``reset_mask``, ``(n,)`` of booleans, says which copies begin anew; there are no others.
        :return: Observations, ``(n, ...)``, and infos.
        :raises ResetNeeded: If some copies are to begin anew before all have begun.
        :raises ValueError: If there are not as many seeds as copies, the mask does not fit, or there are other options.
        """
        self.check_options(set(options or ()) - {"reset_mask"})
        seeds = [seed + copy for copy in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(
                f"seed={seed!r} has {len(seeds)} seeds for {self.num_envs} environments: pass one for each."
            )
        which = self._all
        if options is not None and "reset_mask" in options:
            mask = np.asarray(options["reset_mask"])
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
                raise ValueError(
                    f"options['reset_mask']={mask!r} does not say which of {self.num_envs} environments begin anew: "
                    "pass one boolean for each, at least one of them True."
                )
            if not mask.all():
                self.check_begun("a partial reset")
            which = mask.nonzero()[0]
            if seeds is not None:
                seeds = [one if chosen else None for one, chosen in zip(seeds, mask.tolist(), strict=True)]
        observations, infos = self.begin(seeds, which)
        return observations, self._spread(infos, which)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take a step in all copies, and begin new episodes where they end.

        :param actions: One action for each copy, ``(n, ...)``.
        :return: Observations, rewards, whether episodes terminated, whether they were truncated, and infos; where an
            episode ended, ``final_obs`` and ``final_info`` hold its last observation and info.
        :raises ResetNeeded: If no episode has begun.
        :raises ValueError: If actions are unknown, or not one for each copy.
        """
        step = self.advance(actions)
        infos: dict[str, Any] = {}
        if step.ended.size < self.num_envs:
            go_on = np.ones(self.num_envs, np.bool_)
            go_on[step.ended] = False
            going = go_on.nonzero()[0]
            infos = self._spread({key: values[going] for key, values in step.infos.items()}, going)
        if step.ended.size:
            final = self._spread({key: values[step.ended] for key, values in step.infos.items()}, step.ended)
            final |= self._spread(step.final_infos, step.finished)
            last_seen = np.full(self.num_envs, None, object)
            for copy, observation in zip(step.ended.tolist(), step.final_observations, strict=True):
                last_seen[copy] = observation
            over = np.zeros(self.num_envs, np.bool_)
            over[step.ended] = True
            infos |= {"final_obs": last_seen, "_final_obs": over}
            infos |= {"final_info": final, "_final_info": over.copy()}
            for key, values in step.reset_infos.items():
                if key not in infos:
                    infos |= self._spread({key: values}, step.ended)
                infos[key][step.ended], infos[f"_{key}"][step.ended] = values, True
        return step.observations, step.rewards, step.terminated, step.truncated, infos

    def _spread(self, infos: Infos, which: NDArray[np.int64]) -> dict[str, Any]:
        """Put infos of some copies into arrays for all, each with a mask beside it, as Gymnasium does."""
        spread: dict[str, Any] = {}
        for key, values in infos.items():
            spread[key] = np.zeros((self.num_envs, *values.shape[1:]), values.dtype)
            spread[f"_{key}"] = np.zeros(self.num_envs, np.bool_)
            spread[key][which], spread[f"_{key}"][which] = values, True
        return spread
