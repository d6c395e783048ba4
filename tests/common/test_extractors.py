"""Networks for small images, alone and within dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN

from memory_agents.common import CombinedFeatures, SmallCNN
from memory_agents.common.building import default_features_extractor


def image_space(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (3, [(32, 3, 3), (64, 3, 3)]),
        (7, [(32, 7, 7), (64, 4, 4)]),
        (40, [(16, 20, 20), (32, 10, 10), (64, 5, 5)]),
        (64, [(16, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]),
    ],
)
def test_layers_are_those_of_the_documentation(side: int, expected: list[tuple[int, ...]]) -> None:
    x = th.zeros(1, 3, side, side)
    shapes = []
    for layer in SmallCNN(image_space(3, side, side)).cnn:
        x = layer(x)
        if isinstance(layer, th.nn.Conv2d):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == expected


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 12), height=st.integers(3, 70), width=st.integers(3, 70), features=st.sampled_from([8, 96])
)
def test_every_size_gives_features_and_gradients(channels: int, height: int, width: int, features: int) -> None:
    th.manual_seed(0)
    cnn = SmallCNN(spaces.Box(-1, 1, (channels, height, width)), features)
    y = cnn(th.randn(16, channels, height, width))
    assert y.shape == (16, features) == (16, cnn.features_dim)
    y.square().sum().backward()
    for name, parameter in cnn.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0, name


@th.no_grad()
@pytest.mark.parametrize("side", [3, 7, 20, 40, 64])
def test_signals_keep_their_scale(side: int) -> None:
    th.manual_seed(0)
    x = th.randn(64, 3, side, side)
    rms = [float(t.square().mean().sqrt()) for t in (x, SmallCNN(spaces.Box(-1, 1, (3, side, side)))(x))]
    assert 0.3 < rms[1] / rms[0] < 3


@pytest.mark.parametrize("side", [5, 40])
def test_it_tells_where_something_stands(side: int) -> None:
    images = th.zeros(2, 3, side, side)
    images[0, :, 1, 1] = images[1, :, side - 2, 1] = 1
    one, other = SmallCNN(image_space(3, side, side))(images)
    assert (one - other).abs().max() > 1e-3


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SmallCNN reads images in a Box of \(channels, height, width\), not Box"):
        SmallCNN(spaces.Box(-1, 1, (4,)))
    with pytest.raises(ValueError, match="not Discrete"):
        SmallCNN(spaces.Discrete(3))


SPACE = spaces.Dict(
    {
        "a.b": spaces.MultiDiscrete([3, 2]),
        "type": spaces.Discrete(4),
        "large": image_space(3, 64, 64),
        "small": image_space(3, 7, 7),
        "vector": spaces.Box(-1, 1, (2, 2)),
        "float_image": spaces.Box(-1, 1, (2, 5, 5)),
    }
)


def features_of(extractor: CombinedFeatures, normalize_images: bool = True) -> th.Tensor:
    SPACE.seed(0)
    obs = {name: th.as_tensor(np.asarray(value))[None] for name, value in SPACE.sample().items()}
    ready: Any = preprocess_obs(obs, SPACE, normalize_images)
    features: th.Tensor = extractor(ready)
    return features


def test_every_entry_of_a_dictionary_gets_what_fits_it() -> None:
    assert default_features_extractor(SPACE) is CombinedFeatures
    extractor = CombinedFeatures(SPACE)
    kinds = {name: type(part) for name, part in zip(extractor.names, extractor.parts, strict=True)}
    flat = dict.fromkeys(("a.b", "type", "vector", "float_image"), FlattenExtractor)
    assert kinds == {**flat, "large": NatureCNN, "small": SmallCNN}
    assert type(extractor.features_dim) is int
    features: Any = features_of(extractor)
    assert features.shape == (1, extractor.features_dim) == (1, 5 + 4 + 128 + 128 + 4 + 50)
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in extractor.parameters())


def test_every_entry_reaches_the_features() -> None:
    extractor = CombinedFeatures(SPACE)
    SPACE.seed(1)
    one, other = (
        {k: th.as_tensor(np.asarray(v))[None] for k, v in observation.items()}
        for observation in (SPACE.sample(), SPACE.sample())
    )
    before = extractor(preprocess_obs(one, SPACE))
    for name in SPACE:
        if not th.equal(one[name], other[name]):
            assert not th.equal(extractor(preprocess_obs({**one, name: other[name]}, SPACE)), before), name


def test_width_of_images_can_be_chosen() -> None:
    assert features_of(CombinedFeatures(SPACE, cnn_output_dim=16)).shape == (1, 5 + 4 + 16 + 16 + 4 + 50)


def test_float_images_are_images_when_said_so() -> None:
    extractor = CombinedFeatures(SPACE, normalized_image=True)
    assert type(extractor.parts[extractor.names.index("float_image")]) is SmallCNN
    assert features_of(extractor, normalize_images=False).shape == (1, 5 + 4 + 128 + 128 + 4 + 128)
