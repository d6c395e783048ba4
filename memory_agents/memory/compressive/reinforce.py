"""How judges learn from what their decisions have brought."""

from __future__ import annotations

import torch as th
import torch.nn.functional as F

from memory_agents.memory.compressive.judgement import Choice
from memory_agents.memory.compressive.judges import log_prob


def judger_loss(
    logits: th.Tensor,
    choices: Choice,
    advantages: th.Tensor,
    ent_coef: float,
    *,
    entropy_in_advantage: bool = False,
    clip_range: float | None = None,
) -> tuple[th.Tensor, th.Tensor]:
    """
    REINFORCE: its gradient is the mean of ``-A grad log p`` over decisions (Chang and Ma 2021, arXiv 2110.04821,
    section 3.3).

    :param logits: of keeping, with the present parameters, (decisions,)
    :param choices: what was chosen, (decisions,) each
    :param advantages: returns less baselines, (decisions,)
    :param ent_coef: weight of the entropy
    :param entropy_in_advantage: whether the entropy is added to the advantage, as in the paper, in place of its own
        gradient
    :param clip_range: None for REINFORCE as it is; a number bounds how far several passes over the same decisions move
        their probabilities (PPO's surrogate, Schulman et al. 2017, arXiv 1707.06347, equation 7)
    :return: the loss, and the mean entropy
    """
    new = log_prob(logits, choices.keep)
    p = logits.sigmoid()
    entropies = -(p * F.logsigmoid(logits) + (1 - p) * F.logsigmoid(-logits))
    entropy = entropies.mean()
    if entropy_in_advantage:
        advantages = advantages + ent_coef * entropies.detach()
    if clip_range is None:
        gain = advantages * new
    else:
        ratio = th.exp(new - choices.log_prob)
        gain = th.min(advantages * ratio, advantages * ratio.clamp(1 - clip_range, 1 + clip_range))
    loss = -gain.mean()
    return (loss if entropy_in_advantage else loss - ent_coef * entropy), entropy
