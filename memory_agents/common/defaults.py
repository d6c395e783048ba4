"""Defaults that several algorithms have in common."""

from __future__ import annotations

from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import LinearSchedule

#: Passes over a rollout. More of them learn object matching from fewer steps, but in a T-maze, where one action of a
#: hundred counts, they sometimes undo what was learned.
DEFAULT_EPOCHS = 4
#: Weight of PPO's value loss, half of Stable-Baselines3's, as actor and critic share a memory. So object matching is
#: learned from fewer steps, also on seeds on which the actor otherwise grows sure of wrong answers.
DEFAULT_VALUE_WEIGHT = 0.25
#: Gain of the matrix from which the action net starts. With Stable-Baselines3's 0.01 the memory hardly hears the actor
#: at first, and object matching takes about twice as many steps.
DEFAULT_ACTION_GAIN = 1.0


def default_learning_rate() -> Schedule:
    """
    A high rate leaves plateaus early, and its fall settles what was found; constant rates did one or the other.

    :return: 2e-3 at the start of training, falling linearly to 2e-4 at its end
    """
    return LinearSchedule(2e-3, 2e-4, 1.0)


#: Windows per update off-policy.
DEFAULT_REPLAY_WINDOWS = 8
#: Transitions between two updates off-policy. Windows bring many transitions at once, so updates can be far between.
TRANSITIONS_PER_UPDATE = 32


def default_train_freq(n_envs: int) -> int:
    """
    :param n_envs: number of environments
    :return: steps of each between two updates off-policy
    """
    return max(1, TRANSITIONS_PER_UPDATE // n_envs)
