"""Parts of a policy, picked by observation space."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor

from memory_agents.common.extractors import CombinedFeatures, image_extractor
from memory_agents.memory import MemoryCore
from memory_agents.memory.building import make_memory, memory_type


def default_features_extractor(
    observation_space: spaces.Space[Any], normalize_images: bool = True
) -> type[BaseFeaturesExtractor]:
    """
    :param observation_space: observation space, images channel first
    :param normalize_images: whether images are bytes that the policy normalises; otherwise they may be floats
    :return: the extractor that fits it: for images by their size
    """
    if isinstance(observation_space, spaces.Dict):
        return CombinedFeatures
    if is_image_space(observation_space, normalized_image=not normalize_images):
        return image_extractor(observation_space)
    return FlattenExtractor


def check_memory_arguments(
    memory_class: str | type[MemoryCore[Any]], memory_kwargs: object, others: Mapping[str, Any]
) -> None:
    """
    :param memory_class: registered name or class
    :param memory_kwargs: keyword arguments of the core
    :param others: arguments of the policy that it hands on
    :raises TypeError: when ``memory_class`` is no memory core, or one of its arguments is among the others
    :raises ValueError: when the name is unknown, or ``memory_kwargs`` is no dictionary
    """
    if memory_kwargs is not None and not isinstance(memory_kwargs, Mapping):
        raise ValueError(f"memory_kwargs is {memory_kwargs!r}; give a dictionary, as dict(n_layers=2)")
    cls = memory_type(memory_class)
    known = inspect.signature(ActorCriticPolicy).parameters
    for name in inspect.signature(cls).parameters:
        if name in others and name not in known:
            raise TypeError(
                f"{name}={others[name]!r} is an argument of the memory {cls.__name__}; "
                f"pass memory_kwargs=dict({name}={others[name]!r})"
            )


def agent_memory(
    memory_class: str | type[MemoryCore[Any]], features_dim: int, memory_kwargs: dict[str, Any]
) -> MemoryCore[Any]:
    """
    :param memory_class: registered name or class
    :param features_dim: width of the features
    :param memory_kwargs: keyword arguments of the core
    :return: the core, one that will do for an agent
    :raises TypeError: when it is no memory core or does not know an argument
    :raises ValueError: when the name is unknown, arguments do not fit together, or what the core chooses in one
        environment depends on the others
    """
    memory = make_memory(memory_class, features_dim, memory_kwargs)
    if memory.decides_together:
        raise ValueError(
            f"memory_kwargs={memory_kwargs!r} makes one decision for all of a batch, but environments do not depend "
            "on each other; use judger=dict(decisions='sample')"
        )
    return memory
