"""A head that predicts what follows an action: the next observation and the reward."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch as th
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from memory_agents.common.observations import counted_from_zero

#: Observations of more numbers than this, images for the most part, are left out: their numbers say too little each.
MOST_NUMBERS = 1024
#: Deviation of what never varies, relative to nothing: small enough to notice when it does, far from rounding.
LEAST_DEVIATION = 1e-3


class Outcomes(NamedTuple):
    """
    What followed an action.

    :param classes: parts of the next observation that are one of a number of kinds, (rows, kinds of parts) int64
    :param numbers: its parts that are numbers, and after them the reward, (rows, numbers + 1)
    :param known: whether the next observation is known; it is not where the episode has ended, (rows,) bool
    """

    classes: th.Tensor
    numbers: th.Tensor
    known: th.Tensor


class OutcomeSpaces:
    """
    What there is to predict in a space of observations: ``Discrete``, ``MultiDiscrete`` and ``MultiBinary`` as classes,
    ``Box`` as numbers.

    :param observation_space: observation space, without nesting
    """

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        self.space = observation_space
        parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {"": observation_space}
        #: number of kinds of each class
        self.sizes: list[int] = []
        #: how many numbers there are
        self.n_numbers = 0
        self._class_parts: list[str] = []
        self._number_parts: list[str] = []
        for name, part in parts.items():
            if isinstance(part, spaces.Box):
                if math.prod(part.shape) <= MOST_NUMBERS:
                    self._number_parts.append(name)
                    self.n_numbers += math.prod(part.shape)
                continue
            self._class_parts.append(name)
            if isinstance(part, spaces.Discrete):
                self.sizes.append(int(part.n))
            elif isinstance(part, spaces.MultiDiscrete):
                self.sizes += [int(n) for n in part.nvec.ravel()]
            else:
                assert isinstance(part, spaces.MultiBinary)
                self.sizes += math.prod(part.shape) * [2]

    def read(self, observations: PyTorchObs) -> tuple[th.Tensor, th.Tensor]:
        """
        :param observations: (rows, ...)
        :return: classes (rows, classes) int64, and numbers (rows, numbers)
        """
        counted = counted_from_zero(observations, self.space)
        parts = counted if isinstance(counted, dict) else {"": counted}
        rows = next(iter(parts.values()))
        none = rows.new_zeros(len(rows), 0)
        classes = [
            parts[name].flatten(1) if parts[name].ndim > 1 else parts[name][:, None] for name in self._class_parts
        ]
        numbers = [parts[name].flatten(1) for name in self._number_parts]
        return th.cat([none.long(), *(part.long() for part in classes)], 1), th.cat([none.float(), *numbers], 1).float()


def action_inputs(space: spaces.Space[Any], actions: th.Tensor) -> th.Tensor:
    """
    :param space: action space
    :param actions: as the policy's distribution gives them, choices counted from zero, (rows, ...)
    :return: choices one-hot, all else as it is, (rows, width)
    """
    actions = actions.flatten(1) if actions.ndim > 1 else actions[:, None]
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        sizes = [int(space.n)] if isinstance(space, spaces.Discrete) else [int(n) for n in space.nvec]
        return th.cat([F.one_hot(part.long(), n) for part, n in zip(actions.T, sizes, strict=True)], dim=1).float()
    return actions.float()


def action_width(space: spaces.Space[Any]) -> int:
    """
    :param space: action space
    :return: width of :func:`action_inputs`
    """
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    return int(space.nvec.sum()) if isinstance(space, spaces.MultiDiscrete) else math.prod(space.shape or ())


class OutcomeHead(nn.Module):
    """
    Predicts the next observation and the reward from what a memory gives and the action.

    Classes have a probability each; numbers, of which the reward is one, are normal with the mean that the head gives
    and the deviation that they have had so far, so that no unit counts for more than another.

    :param input_dim: width of the memory's outputs
    :param observation_space: observation space, without nesting
    :param action_space: action space
    :param hidden_size: width of the hidden layer
    """

    #: moments of the numbers so far, (numbers + 1,) each
    count: th.Tensor
    mean: th.Tensor
    square: th.Tensor

    def __init__(
        self, input_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], hidden_size: int
    ) -> None:
        super().__init__()
        self.outcomes, self.action_space = OutcomeSpaces(observation_space), action_space
        n_numbers = self.outcomes.n_numbers + 1
        self.hidden = nn.Linear(input_dim + action_width(action_space), hidden_size)
        self.output = nn.Linear(hidden_size, sum(self.outcomes.sizes) + n_numbers)
        self.register_buffer("count", th.zeros(n_numbers))
        self.register_buffer("mean", th.zeros(n_numbers))
        self.register_buffer("square", th.zeros(n_numbers))

    @property
    def deviation(self) -> th.Tensor:
        """Of each number so far, (numbers + 1,)."""
        return (self.square / self.count.clamp_min(1)).sqrt().clamp_min(LEAST_DEVIATION)

    @th.no_grad()
    def observe(self, outcomes: Outcomes) -> None:
        """
        Learn the moments of numbers (Chan et al. 1979, their parallel update).

        :param outcomes: what has followed
        """
        observed = outcomes.numbers.double()
        # Of rewards there is one in every row, also where no observation follows.
        known = th.ones_like(observed)
        known[:, :-1] = outcomes.known.double()[:, None]
        rows = known.sum(0)
        mean = (observed * known).sum(0) / rows.clamp_min(1)
        square = ((observed - mean).square() * known).sum(0)
        before = self.count.double()
        total = before + rows
        share = rows / total.clamp_min(1)
        apart = mean - self.mean
        self.square.copy_(self.square + square + apart.square() * before * share)
        self.mean.copy_(self.mean + apart * share)
        self.count.copy_(total)

    def forward(self, memories: th.Tensor, actions: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param memories: outputs of the memory, (rows, input_dim)
        :param actions: what was done then, (rows, ...)
        :return: logits of the classes, one after the other (rows, sum of sizes), and means of the numbers
            (rows, numbers + 1), in their own units
        """
        inputs = th.cat([memories, action_inputs(self.action_space, actions)], dim=1)
        outputs = self.output(F.relu(self.hidden(inputs)))
        logits, means = th.split(outputs, [sum(self.outcomes.sizes), len(self.mean)], dim=1)
        return logits, self.mean + self.deviation * means

    def cross_entropy(
        self, predicted: tuple[th.Tensor, th.Tensor], outcomes: Outcomes, deviation: th.Tensor
    ) -> th.Tensor:
        """
        Negative log-likelihood: the mean of the observation's, itself a mean over its parts, and the reward's; the
        reward's alone where the next observation is not known or has no parts that are predicted. A number's is half
        the square of its error in deviations, so that what is foreseen without error has perplexity 1.

        :param predicted: what :meth:`forward` gave
        :param outcomes: what followed
        :param deviation: unit of errors in numbers, (numbers + 1,)
        :return: (rows,)
        """
        logits, means = predicted
        errors = ((means - outcomes.numbers) / deviation).square() / 2
        parts = [errors[:, :-1]]
        for part, kind in zip(th.split(logits, self.outcomes.sizes, dim=1), outcomes.classes.T, strict=True):
            parts.append(F.cross_entropy(part, kind, reduction="none")[:, None])
        of_observation, of_reward = th.cat(parts, dim=1), errors[:, -1]
        if not of_observation.shape[1]:
            return of_reward
        return th.where(outcomes.known, (of_observation.mean(dim=1) + of_reward) / 2, of_reward)
