"""What environments pay."""

from __future__ import annotations

import numpy as np


def check_rewards(rewards: np.ndarray) -> None:
    """
    :param rewards: those of a step, (n_envs,)
    :raises ValueError: when one is not finite, after which nothing that is learned would be
    """
    wrong = np.flatnonzero(~np.isfinite(rewards))
    if len(wrong):
        raise ValueError(
            f"environment {wrong[0]} of {len(rewards)} gave a reward of {rewards[wrong[0]]}; mend its step(), or find "
            "out where with VecCheckNan of Stable-Baselines3"
        )
