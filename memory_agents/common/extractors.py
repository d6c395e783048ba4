"""Features extractors for what Stable-Baselines3 has none for: small images, alone and within dictionaries."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

#: Shorter side, in pixels, from which on NatureCNN reads an image.
SMALLEST_NATURE_IMAGE = 64


class SmallCNN(BaseFeaturesExtractor):
    """
    A convolutional network for images from 3 x 3 to about 64 x 64 pixels: grids of categories, tiles, thumbnails.

    NatureCNN was made for screens of 84 x 84 pixels. It cannot be built below 36 x 36, and up to about 60 x 60 it
    squeezes the image into so few places that it loses what stands where. Here every layer has kernels of 3 x 3 and
    padding, and halves the image until its longer side has at most 5 places; an image that is that small at once
    passes two layers at full size. Channels double from layer to layer, up to 64 in the last. Examples::

        (3, 3, 3)   -> (32, 3, 3) -> (64, 3, 3)                  -> features_dim
        (3, 7, 7)   -> (32, 7, 7) -> (64, 4, 4)                  -> features_dim
        (3, 40, 40) -> (16, 20, 20) -> (32, 10, 10) -> (64, 5, 5) -> features_dim

    Weights are orthogonal with gain sqrt(2), which keeps the scale of signals through ReLU.

    :param observation_space: images, (channels, height, width): bytes, which the policy divides by 255, or floats
    :param features_dim: width of the output, which is not negative
    :raises ValueError: when the observations are no images
    """

    def __init__(self, observation_space: spaces.Space[Any], features_dim: int = 128) -> None:
        if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 3:
            raise ValueError(f"SmallCNN reads images in a Box of (channels, height, width), not {observation_space}")
        super().__init__(observation_space, features_dim)
        channels, height, width = observation_space.shape
        halvings = 0
        while max(_halved(height, halvings), _halved(width, halvings)) > 5:
            halvings += 1
        n_layers = max(2, halvings)
        layers: list[nn.Module] = []
        for index in range(n_layers):
            filters = max(16, 64 >> (n_layers - 1 - index))
            stride = 1 if index < n_layers - halvings else 2
            layers += [nn.Conv2d(channels, filters, kernel_size=3, stride=stride, padding=1), nn.ReLU()]
            channels = filters
        places = _halved(height, halvings) * _halved(width, halvings)
        self.cnn = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * places, features_dim), nn.ReLU())
        for module in self.cnn:
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(module.weight, gain=2**0.5)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: (batch, channels, height, width)
        :return: features, (batch, features_dim)
        """
        features: th.Tensor = self.cnn(observations)
        return features


def _halved(side: int, times: int) -> int:
    """
    :return: what layers of stride 2 leave of a side
    """
    return -(-side >> times)


def image_extractor(observation_space: spaces.Space[Any]) -> type[NatureCNN] | type[SmallCNN]:
    """
    :param observation_space: images, (channels, height, width)
    :return: NatureCNN for images whose sides have at least 64 pixels, SmallCNN for smaller ones
    """
    assert observation_space.shape is not None
    return NatureCNN if min(observation_space.shape[1:]) >= SMALLEST_NATURE_IMAGE else SmallCNN


class CombinedFeatures(CombinedExtractor):
    """
    Stable-Baselines3's extractor of dictionaries, with a network for each image that fits its size
    (:func:`image_extractor`). All other entries are flattened, and everything is put side by side.

    :param observation_space: dictionary of observations, images channel first
    :param cnn_output_dim: features of each image
    :param normalized_image: whether every entry of three dimensions is an image, as Stable-Baselines3 passes on when
        the policy has ``normalize_images=False``; otherwise images are bytes from 0 to 255
    """

    def __init__(
        self, observation_space: spaces.Dict, cnn_output_dim: int = 128, normalized_image: bool = False
    ) -> None:
        # Not the parent's constructor, which builds a NatureCNN for every image.
        BaseFeaturesExtractor.__init__(self, observation_space, features_dim=1)
        self.names = list(observation_space.spaces)
        # A list, because a ModuleDict refuses names with dots and those of its own methods, such as "type".
        self.parts = nn.ModuleList()
        width = 0
        for space in observation_space.spaces.values():
            part: BaseFeaturesExtractor
            if not is_image_space(space, normalized_image=normalized_image):
                part = FlattenExtractor(space)
            elif image_extractor(space) is NatureCNN:
                part = NatureCNN(space, cnn_output_dim, normalized_image)
            else:
                part = SmallCNN(space, cnn_output_dim)
            self.parts.append(part)
            width += int(part.features_dim)
        self._features_dim = width

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        :param observations: (batch, ...) each
        :return: features, (batch, features_dim)
        """
        features = [part(observations[name]) for name, part in zip(self.names, self.parts, strict=True)]
        return th.cat(features, dim=1)
