"""Parts of a policy, picked by observation space."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor

from memory_agents.common.extractors import CombinedFeatures, image_extractor


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
