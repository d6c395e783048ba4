"""
Search spaces for Optuna. They tune the compressive memory together with the algorithm; rollouts and minibatches are
drawn in whole windows, so that every draw fits together.
"""

from __future__ import annotations

from typing import Any


def sample_on_policy(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    :param trial: a trial of Optuna
    :param n_actions: not needed here
    :param n_envs: not needed here
    :param additional_args: not needed here
    :return: hyperparameters that all on-policy algorithms with memory have
    """
    return on_policy_hyperparams(_draw_on_policy(trial))


def sample_ppo(trial: Any, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    :param trial: a trial of Optuna
    :param n_actions: not needed here
    :param n_envs: not needed here
    :param additional_args: not needed here
    :return: hyperparameters of PPO with memory
    """
    drawn = _draw_on_policy(trial)
    # Powers of two, as the zoo draws sizes: windows per minibatch.
    drawn["batch_windows_pow"] = trial.suggest_int("batch_windows_pow", 0, 3)
    drawn["n_epochs"] = trial.suggest_categorical("n_epochs", [2, 4, 8, 16])
    drawn["clip_range"] = trial.suggest_categorical("clip_range", [0.1, 0.2, 0.3])
    return ppo_hyperparams(drawn)


def on_policy_hyperparams(drawn: dict[str, Any]) -> dict[str, Any]:
    """
    :param drawn: what a trial has drawn, by its names
    :return: the same as arguments of an algorithm
    """
    rest = dict(drawn)
    sequence_length = 2 ** rest.pop("sequence_length_pow")
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
        "gae_lambda": 1 - rest.pop("one_minus_gae_lambda"),
        "sequence_length": sequence_length,
        "n_steps": sequence_length * 2 ** rest.pop("n_windows_pow"),
        **rest,
    }


def ppo_hyperparams(drawn: dict[str, Any]) -> dict[str, Any]:
    """
    :param drawn: what a trial has drawn, by its names
    :return: the same as arguments of PPO
    """
    rest = dict(drawn)
    windows = 2 ** rest.pop("batch_windows_pow")
    hyperparams = on_policy_hyperparams(rest)
    return {**hyperparams, "batch_size": windows * hyperparams["sequence_length"]}


def _draw_on_policy(trial: Any) -> dict[str, Any]:
    return {
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.0005, 0.05, log=True),
        "one_minus_gae_lambda": trial.suggest_float("one_minus_gae_lambda", 0.005, 0.3, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True),
        "ent_coef": trial.suggest_float("ent_coef", 1e-4, 0.1, log=True),
        "max_grad_norm": trial.suggest_float("max_grad_norm", 0.3, 2.0),
        "sequence_length_pow": trial.suggest_int("sequence_length_pow", 5, 7),
        "n_windows_pow": trial.suggest_int("n_windows_pow", 0, 2),
        "memory_length_pow": trial.suggest_int("memory_length_pow", 4, 7),
        "compressed_length": trial.suggest_categorical("compressed_length", [0, 16, 64]),
        "compression_rate": trial.suggest_categorical("compression_rate", [2, 4, 8]),
        "n_layers": trial.suggest_int("n_layers", 1, 3),
        "d_model_pow": trial.suggest_int("d_model_pow", 5, 7),
        "gating": trial.suggest_categorical("gating", ["none", "gru"]),
    }
