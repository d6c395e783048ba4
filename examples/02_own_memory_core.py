"""
A memory of one's own: write it, register it, train an agent with it.

The core below is all there is to write. The library gives it PPO, rollouts that store its states where training windows
begin, ``predict``, saving, and loading (once the core is registered again). ``tests/test_examples.py`` holds it to the
same laws as the library's own cores.

The task is a T-maze, where half of the episodes succeed without memory, with a corridor of 50 steps.
Run with ``python examples/02_own_memory_core.py``: less than a minute.
"""

from __future__ import annotations

import argparse
import math

import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from torch import nn

from memory_agents import PPO, MemoryCore, check_memory_core, memory_registry

TASK = "MemoryAgents/TMaze-v0"
CORRIDOR = dict(corridor=50)


@memory_registry.register("moving_averages")
class MovingAverages(MemoryCore[th.Tensor]):
    """
    Exponential moving averages h of what is seen, fast and slow ones, whose rates the present input can change::

        a = sigma(W_a x + b_a),  h' = a * h + (1 - a) * (W_w x + b_w),  y = relu(W_y [h'; x] + b_y)

    The recurrence is that of minGRU (Feng et al. 2024, arXiv 2410.01201). It is linear in h, so that a window takes
    log2(T) rounds in place of T steps. b_a starts where the averages span 2 to ``longest_span`` steps, evenly on a
    logarithmic scale (for the reason of Tallec and Ollivier 2018, arXiv 1804.11188).

    :param input_dim: width of the inputs
    :param n_averages: how many there are, which is the width of the outputs, too
    :param longest_span: time constant of the slowest of them before training, in steps
    :raises ValueError: when there are no averages or their spans are below 2
    """

    def __init__(self, input_dim: int, *, n_averages: int = 64, longest_span: float = 256.0) -> None:
        if n_averages < 1 or not longest_span >= 2:
            raise ValueError(f"need n_averages >= 1 and longest_span >= 2, got {n_averages} and {longest_span}")
        super().__init__(input_dim, n_averages)
        self.keep = nn.Linear(input_dim, n_averages)
        self.write = nn.Linear(input_dim, n_averages)
        self.read = nn.Linear(n_averages + input_dim, n_averages)
        with th.no_grad():
            spans = th.logspace(1, math.log2(longest_span), n_averages, base=2)
            self.keep.bias.copy_((spans - 1).log())

    def initial_state(self, batch_size: int) -> th.Tensor:
        return self.keep.bias.new_zeros(batch_size, self.output_dim)

    @th.no_grad()
    def step_(self, x: th.Tensor, state: th.Tensor, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        y, state = self.unroll(x[:, None], state, episode_starts[:, None])
        return y[:, 0], state

    def unroll(self, x: th.Tensor, state: th.Tensor, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        a = th.sigmoid(self.keep(x))  # (batch, T, n_averages)
        h, a = (1 - a) * self.write(x), a.masked_fill(episode_starts[:, :, None], 0)
        # A step that keeps a and adds h, after one that keeps a_ and adds h_, keeps a a_ and adds a h_ + h: so steps
        # are joined to pairs, to fours, to eights, until each has all that the window held before it.
        span = 1
        while span < x.shape[1]:
            h = th.cat([h[:, :span], th.addcmul(h[:, span:], a[:, span:], h[:, :-span])], dim=1)
            a = th.cat([a[:, :span], a[:, span:] * a[:, :-span]], dim=1)
            span *= 2
        h = h + a * state[:, None].detach()
        return self.read(th.cat([h, x], dim=-1)).relu(), h[:, -1].detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=250_000)
    arguments = parser.parse_args()

    check_memory_core(MovingAverages(3))  # acting equals learning, nothing crosses an episode, and so on
    env = make_vec_env(TASK, n_envs=16, seed=0, env_kwargs=CORRIDOR)
    policy_kwargs = dict(memory_class="moving_averages", memory_kwargs=dict(longest_span=256.0))
    agent = PPO("MemoryPolicy", env, policy_kwargs=policy_kwargs, seed=0, device="cpu", verbose=1)
    agent.learn(arguments.total_timesteps, log_interval=20)

    unseen = make_vec_env(TASK, n_envs=16, seed=1_000, env_kwargs=CORRIDOR)
    success_rate, _ = evaluate_policy(agent, unseen, n_eval_episodes=200)
    print(f"success rate: {success_rate:.2f}")


if __name__ == "__main__":
    main()
