"""
Search spaces for Optuna. They tune the compressive memory together with the algorithm; rollouts and minibatches are
drawn in whole windows, so that every draw fits together.
"""

from __future__ import annotations

from typing import Any


def sample_a2c(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    :param trial: a trial of Optuna
    :param n_actions: not needed here
    :param n_envs: not needed here
    :param additional_args: not needed here
    :return: hyperparameters of A2C with memory
    """
    return a2c_hyperparams({**_draw_on_policy(trial), **_draw_entropy(trial)})


def sample_ppo(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    :param trial: a trial of Optuna
    :param n_actions: not needed here
    :param n_envs: number of environments, which a minibatch has no more windows than fit in a rollout of
    :param additional_args: not needed here
    :return: hyperparameters of PPO with memory
    """
    drawn = {**_draw_on_policy(trial), **_draw_entropy(trial)}
    drawn["batch_windows_pow"] = _draw_batch(trial, drawn, n_envs)
    drawn["n_epochs"] = trial.suggest_categorical("n_epochs", [2, 4, 8, 16])
    drawn["clip_range"] = trial.suggest_categorical("clip_range", [0.1, 0.2, 0.3])
    return ppo_hyperparams(drawn)


def sample_trpo(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    :param trial: a trial of Optuna
    :param n_actions: not needed here
    :param n_envs: number of environments, which a minibatch has no more windows than fit in a rollout of
    :param additional_args: not needed here
    :return: hyperparameters of TRPO with memory
    """
    drawn = _draw_on_policy(trial)
    drawn["batch_windows_pow"] = _draw_batch(trial, drawn, n_envs)
    drawn["n_critic_updates"] = trial.suggest_categorical("n_critic_updates", [5, 10, 20])
    drawn["cg_max_steps"] = trial.suggest_categorical("cg_max_steps", [5, 10, 20])
    drawn["target_kl"] = trial.suggest_categorical("target_kl", [0.001, 0.005, 0.01, 0.02, 0.05])
    return ppo_hyperparams(drawn)


def sample_dqn(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    :param trial: a trial of Optuna
    :param n_actions: not needed here
    :param n_envs: not needed here
    :param additional_args: not needed here
    :return: hyperparameters of DQN and QRDQN with memory
    """
    drawn = _draw_memory(trial)
    drawn["sequence_length_pow"] = trial.suggest_int("sequence_length_pow", 4, 7)
    drawn["burn_in"] = trial.suggest_categorical("burn_in", [0, 16, 32, 64])
    drawn["batch_windows_pow"] = trial.suggest_int("batch_windows_pow", 1, 4)
    drawn["train_freq"] = trial.suggest_categorical("train_freq", [1, 2, 4, 8])
    drawn["target_update_interval"] = trial.suggest_categorical("target_update_interval", [500, 1000, 5000, 10000])
    drawn["exploration_fraction"] = trial.suggest_float("exploration_fraction", 0.05, 0.5)
    drawn["exploration_final_eps"] = trial.suggest_float("exploration_final_eps", 0.01, 0.1)
    return dqn_hyperparams(drawn)


def a2c_hyperparams(drawn: dict[str, Any]) -> dict[str, Any]:
    """
    :param drawn: what a trial has drawn, by its names
    :return: the same as arguments of A2C
    """
    rest = _memory_hyperparams(drawn)
    return {
        "gae_lambda": 1 - rest.pop("one_minus_gae_lambda"),
        "n_steps": rest["sequence_length"] * 2 ** rest.pop("n_windows_pow"),
        **rest,
    }


def ppo_hyperparams(drawn: dict[str, Any]) -> dict[str, Any]:
    """
    :param drawn: what a trial has drawn, by its names
    :return: the same as arguments of PPO or TRPO
    """
    return _with_batches(a2c_hyperparams(drawn))


def dqn_hyperparams(drawn: dict[str, Any]) -> dict[str, Any]:
    """
    :param drawn: what a trial has drawn, by its names
    :return: the same as arguments of DQN or QRDQN
    """
    return _with_batches(_memory_hyperparams(drawn))


def _with_batches(hyperparams: dict[str, Any]) -> dict[str, Any]:
    """Minibatches of as many windows as were drawn; a power of two, as the zoo draws sizes."""
    windows = 2 ** hyperparams.pop("batch_windows_pow")
    return {**hyperparams, "batch_size": windows * hyperparams["sequence_length"]}


def _memory_hyperparams(drawn: dict[str, Any]) -> dict[str, Any]:
    """What all algorithms have, beside what else was drawn."""
    rest = dict(drawn)
    memory = {
        "memory_length": 2 ** rest.pop("memory_length_pow"),
        "compressed_length": rest.pop("compressed_length"),
        "compression_rate": rest.pop("compression_rate"),
        "n_layers": rest.pop("n_layers"),
        "d_model": 2 ** rest.pop("d_model_pow"),
        "gating": rest.pop("gating"),
    }
    return {
        "policy": "CompressiveMemoryPolicy",
        "policy_kwargs": {"memory_kwargs": memory},
        "gamma": 1 - rest.pop("one_minus_gamma"),
        "sequence_length": 2 ** rest.pop("sequence_length_pow"),
        **rest,
    }


def _draw_on_policy(trial: Any) -> dict[str, Any]:
    return {
        **_draw_memory(trial),
        "one_minus_gae_lambda": trial.suggest_float("one_minus_gae_lambda", 0.005, 0.3, log=True),
        "sequence_length_pow": trial.suggest_int("sequence_length_pow", 5, 7),
        "n_windows_pow": trial.suggest_int("n_windows_pow", 0, 2),
    }


def _draw_batch(trial: Any, drawn: dict[str, Any], n_envs: int) -> int:
    """Windows of a minibatch, as a power of two: at most those of a rollout."""
    windows = n_envs * 2 ** drawn["n_windows_pow"]
    power: int = trial.suggest_int("batch_windows_pow", 0, min(3, windows.bit_length() - 1))
    return power


def _draw_entropy(trial: Any) -> dict[str, Any]:
    return {
        "ent_coef": trial.suggest_float("ent_coef", 1e-4, 0.1, log=True),
        "max_grad_norm": trial.suggest_float("max_grad_norm", 0.3, 2.0),
    }


def _draw_memory(trial: Any) -> dict[str, Any]:
    return {
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.0005, 0.05, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True),
        "memory_length_pow": trial.suggest_int("memory_length_pow", 4, 7),
        "compressed_length": trial.suggest_categorical("compressed_length", [0, 16, 64]),
        "compression_rate": trial.suggest_categorical("compression_rate", [2, 4, 8]),
        "n_layers": trial.suggest_int("n_layers", 1, 3),
        "d_model_pow": trial.suggest_int("d_model_pow", 5, 7),
        "gating": trial.suggest_categorical("gating", ["none", "gru"]),
    }
