"""sb3-contrib's recurrent policy without its loop over the steps of a window, and agents to compare with, by name."""

from __future__ import annotations

import inspect
from typing import Any

import torch as th
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import nn

from memory_agents.benchmarks.agents import policy_names
from memory_agents.benchmarks.algorithms import BASELINES
from memory_agents.benchmarks.arguments import UsageError, check_name
from memory_agents.benchmarks.config import SCRIPTED
from memory_agents.benchmarks.sweeps.named_agents import find_agent, named_agents

RECURRENT = "RecurrentPPO"


class LooplessLstmPolicy(RecurrentActorCriticPolicy):
    """
    sb3-contrib's ``MlpLstmPolicy``, which calls the LSTM once for each step if an episode starts in any sequence, made
    to call it once for each span between two starts. The rollout buffer cuts sequences at episode starts, so that in
    learning there is one span. Outputs and gradients are the same numbers.
    """

    @staticmethod
    def _process_sequence(
        features: th.Tensor,
        lstm_states: tuple[th.Tensor, th.Tensor],
        episode_starts: th.Tensor,
        lstm: nn.LSTM,
    ) -> tuple[th.Tensor, Any]:
        """
        :param features: inputs, (sequences * length, input_size), sequence after sequence
        :param lstm_states: hidden and cell states before them, (layers, sequences, hidden_size) each
        :param episode_starts: whether an episode starts at a step, (sequences * length,) floats
        :param lstm: the network
        :return: outputs, (sequences * length, hidden_size), and the states after the last steps
        """
        n_sequences = lstm_states[0].shape[1]
        inputs = features.reshape(n_sequences, -1, lstm.input_size).swapaxes(0, 1)
        keep = 1.0 - episode_starts.reshape(n_sequences, -1).swapaxes(0, 1)
        length = len(inputs)
        borders = [0]
        if length > 1:
            borders += (1 + (keep[1:] != 1).any(dim=1).nonzero().flatten()).tolist()
        outputs = []
        for begin, end in zip(borders, [*borders[1:], length], strict=True):
            kept = keep[begin].view(1, n_sequences, 1)
            hidden, cell = lstm_states
            output, lstm_states = lstm(inputs[begin:end], (kept * hidden, kept * cell))
            outputs.append(output)
        return th.cat(outputs).transpose(0, 1).flatten(0, 1), lstm_states


#: The policy above, as ``--policy`` takes it.
LOOPLESS = f"{LooplessLstmPolicy.__module__}:{LooplessLstmPolicy.__name__}"


def _recurrent(policy: str = BASELINES[RECURRENT].policy, **policy_kwargs: Any) -> dict[str, Any]:
    return {"algorithm": RECURRENT, "policy": policy, "policy_kwargs": policy_kwargs}


def _own_defaults(**replaced: Any) -> dict[str, Any]:
    """sb3-contrib's own hyperparameters, in place of those of this library's PPO, which its agents get here."""
    known = inspect.signature(RecurrentPPO).parameters
    replaceable = BASELINES[RECURRENT].hyperparameters(1, {})
    return {**{name: known[name].default for name in replaceable}, **replaced}


_ONE_LSTM = dict(shared_lstm=True, enable_critic_lstm=False)
#: Arguments of a run by an agent's name, beside those that ``memory-bench run`` knows. ``recurrent_ppo``, which it
#: knows, has an LSTM of width 64 for the actor and another for the critic, and so have these unless they share one. All
#: have the hyperparameters of this library's PPO but for ``recurrent_ppo_defaults``, which is as sb3-contrib has it.
PEERS: dict[str, dict[str, Any]] = {
    "recurrent_ppo_256": _recurrent(lstm_hidden_size=256),
    "recurrent_ppo_loopless": _recurrent(LOOPLESS, lstm_hidden_size=64),
    "recurrent_ppo_256_loopless": _recurrent(LOOPLESS, lstm_hidden_size=256),
    "recurrent_ppo_defaults": {**_recurrent(), "algorithm_kwargs": _own_defaults()},
    "recurrent_ppo_defaults_loopless": {**_recurrent(LOOPLESS), "algorithm_kwargs": _own_defaults()},
    "recurrent_ppo_shared_loopless": _recurrent(LOOPLESS, lstm_hidden_size=64, **_ONE_LSTM),
}


def find_learner(where: str, name: str) -> tuple[str, dict[str, Any]]:
    """
    :param where: where the name stands, for messages
    :param name: a name of :data:`PEERS`, or what ``memory-bench run`` takes
    :return: what to call the agent, and its arguments of :class:`~memory_agents.benchmarks.config.TrainingConfig`
    :raises UsageError: when it is unknown, cannot be imported, or does not learn
    """
    if name in PEERS:
        return name, PEERS[name]
    named = named_agents()
    if ":" not in name and name not in named:
        learners = [each for each, known in named.items() if known.get("algorithm") != SCRIPTED]
        mend = f"use {', '.join([*learners, *PEERS])}, or module:Class"
        check_name(where, name, [*PEERS, *learners, *policy_names()], mend)
    label, arguments = find_agent(where, name)
    if arguments.get("algorithm") == SCRIPTED:
        raise UsageError(f"{where} {name!r} follows a script and learns nothing; choose an agent that learns")
    return label, arguments
