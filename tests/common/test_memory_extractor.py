"""Memory as a features extractor: the numbers of the recurrent policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from memory_agents import CompressiveMemoryExtractor, HistoryWrapper, SmallCNN, VecHistory, memory_registry
from memory_agents.common import CombinedFeatures
from memory_agents.envs import CueStream, ShowImportance
from memory_agents.memory import tree_select
from memory_agents.wrappers import HistorySpace
from tests.ppo.toys import OBSERVATIONS, TINY, Toy, toy_agent, toy_venv

#: Small cores; with those of segments several of them pass in an episode of a toy.
SMALL: dict[str, dict[str, Any]] = {
    "compressive": TINY,
    "rmt": dict(segment_length=4, n_memory_tokens=2, d_model=16, n_heads=2),
    "memformer": dict(segment_length=4, n_slots=2, d_model=16, n_heads=2),
    "block_recurrent": dict(segment_length=4, n_states=2, d_model=16, n_heads=2),
}
every_core = pytest.mark.parametrize("name", list(memory_registry))


class Tap(VecEnvWrapper):
    """Keeps what the environments show."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self.last: Any = []

    def reset(self) -> VecEnvObs:
        self.shown: Any = self.venv.reset()
        return self.shown

    def step_wait(self) -> VecEnvStepReturn:
        self.shown, rewards, dones, infos = self.venv.step_wait()
        self.last = [info.get("terminal_observation") for info in infos]
        return self.shown, rewards, dones, infos


def stock_agent(venv: Any, memory_class: str = "gru", **kwargs: Any) -> sb3.PPO:
    """PPO of Stable-Baselines3 with the extractor, and the heads that memory policies have."""
    kwargs = dict(memory_class=memory_class, memory_kwargs=SMALL.get(memory_class, {}), **kwargs)
    policy_kwargs = dict(
        features_extractor_class=CompressiveMemoryExtractor, features_extractor_kwargs=kwargs, net_arch=[64]
    )
    return sb3.PPO("MultiInputPolicy", venv, n_steps=16, batch_size=16, device="cpu", policy_kwargs=policy_kwargs)


def extractor_of(agent: sb3.PPO) -> CompressiveMemoryExtractor:
    extractor = agent.policy.features_extractor
    assert isinstance(extractor, CompressiveMemoryExtractor)
    return extractor


def jolt(module: th.nn.Module) -> None:
    """Away from the initial weights, with which many memories hardly matter."""
    with th.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * th.randn_like(parameter))


@th.no_grad()
def compare_with_recurrent(name: str, observation: str, history_length: int = 14) -> None:
    """Whole episodes, with the same weights. Toys have at most 14 observations an episode."""
    tap = Tap(toy_venv(observation=observation, truncate=True))
    venv = VecHistory(tap, history_length)
    memory = dict(memory_class=name, memory_kwargs=SMALL.get(name, {}))
    recurrent = toy_agent(tap, policy="MemoryPolicy", policy_kwargs=memory).policy
    jolt(recurrent.memories)
    stock = stock_agent(venv, name)
    extractor, policy = extractor_of(stock), stock.policy
    extractor.features_extractor.load_state_dict(recurrent.features_extractor.state_dict())
    extractor.memory.load_state_dict(recurrent.memories[0].state_dict())
    for part in ("mlp_extractor", "action_net", "value_net"):
        getattr(policy, part).load_state_dict(getattr(recurrent, part).state_dict())
    recurrent.set_training_mode(False)
    policy.set_training_mode(False)

    def assert_same(shown: Any, history: Any, state: Any, starts: th.Tensor) -> Any:
        obs, histories = recurrent.obs_to_tensor(shown)[0], policy.obs_to_tensor(history)[0]
        y, _ = recurrent.memories[0].step(recurrent._features(obs)[0], state[0], starts)  # type: ignore[operator]
        th.testing.assert_close(policy.extract_features(histories), y, atol=1e-5, rtol=1e-5)
        expected = recurrent.get_distribution(obs, state, starts).distribution.logits  # type: ignore[union-attr]
        logits = policy.get_distribution(histories).distribution.logits  # type: ignore[union-attr]
        th.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        _, values, _, state = recurrent(obs, state, starts)
        th.testing.assert_close(policy.predict_values(histories), values, atol=1e-5, rtol=1e-5)
        return state

    history, state, starts = venv.reset(), recurrent.initial_state(3), np.ones(3, dtype=bool)
    ended = 0
    for _ in range(30):
        state = assert_same(tap.shown, history, state, th.as_tensor(starts))
        history, _, starts, infos = venv.step(np.zeros(3, dtype=int))
        for env in np.flatnonzero(starts):
            mine = tree_select(state, th.tensor([env]))
            last, past = tap.last[env], infos[env]["terminal_observation"]
            assert_same(_batch(last), _batch(past), mine, th.zeros(1, dtype=th.bool))
            ended += 1
    assert ended > 3


def _batch(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.asarray(entry)[None] for key, entry in observation.items()}
    return np.asarray(observation)[None]


@every_core
def test_numbers_are_those_of_the_recurrent_policy(name: str) -> None:
    compare_with_recurrent(name, "box")


@pytest.mark.parametrize("observation", [name for name in OBSERVATIONS if name != "box"])
def test_numbers_are_those_of_the_recurrent_policy_for_every_space(observation: str) -> None:
    compare_with_recurrent("gru", observation)


def test_a_history_that_is_too_short_gives_other_numbers() -> None:
    with pytest.raises(AssertionError, match="not close"):
        compare_with_recurrent("gru", "box", history_length=4)


def histories(space: HistorySpace, lengths: list[int], seed: int = 0) -> dict[str, th.Tensor]:
    """Random numbers in all rows, those that should be empty, too."""
    rng = th.Generator().manual_seed(seed)
    entries = {name: th.randn(len(lengths), *space[name].shape, generator=rng) for name in space.parts}  # type: ignore[misc]
    one_hot = th.nn.functional.one_hot(th.tensor(lengths), space.history_length + 1).float()
    return {**entries, "history_length": one_hot}


BOX = spaces.Box(-1, 1, (3,))


def make(name: str, length: int = 8, inner: spaces.Space[Any] = BOX, **kwargs: Any) -> CompressiveMemoryExtractor:
    memory_kwargs = {**SMALL.get(name, {}), **kwargs.pop("memory_kwargs", {})}
    extractor = CompressiveMemoryExtractor(
        HistorySpace(inner, length), memory_class=name, memory_kwargs=memory_kwargs, **kwargs
    )
    jolt(extractor)
    return extractor


@every_core
@th.no_grad()
def test_empty_rows_change_nothing(name: str) -> None:
    extractor = make(name).eval()
    lengths = [1, 3, 8, 5]
    one, other = (histories(HistorySpace(BOX, 8), lengths, seed) for seed in range(2))
    y = extractor(one)
    for env, n in enumerate(lengths):
        other["observation"][env, 8 - n :] = one["observation"][env, 8 - n :]
    assert th.equal(extractor(other), y)

    # Nor does how many of them there could be, or what the others in the batch are like.
    longer = make(name, 12).eval()
    longer.load_state_dict(extractor.state_dict())
    for env, n in enumerate(lengths):
        alone = histories(HistorySpace(BOX, 12), [n], seed=2)
        alone["observation"][0, 12 - n :] = one["observation"][env, 8 - n :]
        th.testing.assert_close(longer(alone)[0], y[env], atol=1e-5, rtol=1e-5)


@every_core
def test_gradients_reach_every_parameter_and_no_empty_row(name: str) -> None:
    memory_kwargs = dict(memory_length=4, compressed_length=2, compression_rate=2) if name == "compressive" else {}
    extractor = make(name, length=16, memory_kwargs=memory_kwargs)
    batch = histories(HistorySpace(BOX, 16), [16, 16, 13, 2])
    batch["observation"].requires_grad_()
    extractor(batch).square().sum().backward()
    for label, parameter in extractor.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label
    gradient = batch["observation"].grad
    assert gradient is not None
    assert not gradient[2, :3].any()
    assert not gradient[3, :14].any()
    assert gradient[3, 14:].any(dim=1).all()


@every_core
def test_an_empty_history_is_no_error(name: str) -> None:
    """Environments show none, but whoever samples their space may."""
    extractor, batch = make(name), histories(HistorySpace(BOX, 8), [0, 3])
    assert extractor(batch).isfinite().all()
    alone = histories(HistorySpace(BOX, 8), [0])
    assert extractor(alone).shape == (1, extractor.features_dim)


def test_dropout_is_for_training_alone() -> None:
    extractor = make("compressive", memory_kwargs=dict(dropout=0.5))
    batch = histories(HistorySpace(BOX, 8), [8, 3])
    assert not th.equal(extractor(batch), extractor(batch))
    extractor.eval()
    assert th.equal(extractor(batch), extractor(batch))


@pytest.mark.parametrize("name", ["compressive", "lstm"])
def test_features_have_the_width_of_the_memory(name: str) -> None:
    kwargs: Any = dict(d_model=24) if name == "compressive" else dict(hidden_size=24)
    extractor = make(name, memory_kwargs=kwargs)
    assert extractor.features_dim == 24
    assert extractor(histories(HistorySpace(BOX, 8), [2, 8])).shape == (2, 24)


def test_the_memorys_own_loss_is_minimised_and_knows_no_empty_row() -> None:
    kwargs = dict(memory_length=4, compressed_length=4, compression_rate=2, compression_loss="autoencoding")
    gradients = []
    # Rows after the newest step, that of the second history, would be compressed if they went on in its episode.
    for lengths in ([16], [16, 1]):
        th.manual_seed(0)
        extractor = make("compressive", 16, memory_kwargs=kwargs)
        batch = histories(HistorySpace(BOX, 16), lengths)
        assert extractor.memory.has_loss
        batch["observation"][0] = th.linspace(-1, 1, 48).view(16, 3)
        (0 * extractor(batch)).sum().backward()
        decoders = [p.grad for p in extractor.memory.compression_losses.parameters()]  # type: ignore[union-attr]
        gradients.append(decoders)
        assert all(gradient is not None and gradient.any() for gradient in decoders)
    for alone, beside in zip(*gradients, strict=True):
        th.testing.assert_close(alone, beside)
    with th.no_grad():
        assert not extractor(batch).requires_grad
    assert not make("compressive").memory.has_loss


class Doubled(FlattenExtractor):
    """A features extractor of a user."""

    def __init__(self, observation_space: spaces.Space[Any], factor: float = 2.0) -> None:
        super().__init__(observation_space)
        self.factor = factor

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.factor * super().forward(observations)


def test_what_reads_each_observation_can_be_chosen() -> None:
    assert type(make("gru").features_extractor) is FlattenExtractor
    extractor, other = (
        make("gru", features_extractor_class=Doubled, features_extractor_kwargs=dict(factor=factor))
        for factor in (3.0, 1.0)
    )
    other.load_state_dict(extractor.state_dict())
    batch = histories(HistorySpace(BOX, 8), [8, 4])
    scaled = {**batch, "observation": 3 * batch["observation"]}
    th.testing.assert_close(extractor(batch), other(scaled))
    assert not th.equal(extractor(batch), other(batch))


def test_images_are_scaled_unless_they_are_scaled_already() -> None:
    image = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    raw, scaled = make("gru", inner=image), make("gru", inner=image, normalized_image=True)
    assert type(raw.features_extractor) is SmallCNN
    scaled.load_state_dict(raw.state_dict())
    batch = histories(HistorySpace(image, 8), [8, 4])
    pixels = {**batch, "observation": 255 * batch["observation"]}
    th.testing.assert_close(raw(pixels), scaled(batch))

    floats = spaces.Dict({"seen": spaces.Box(-1, 1, (3, 7, 7)), "x": BOX})
    kinds = []
    for normalized_image in (False, True):
        features = make("gru", inner=floats, normalized_image=normalized_image).features_extractor
        assert isinstance(features, CombinedFeatures)
        kinds.append(type(features.parts[0]))
    assert kinds == [FlattenExtractor, SmallCNN]


@pytest.mark.parametrize("env", [Toy(), Toy("dict"), Toy("image")], ids=["box", "dict", "image"])
def test_a_forgotten_wrapper_is_named(env: gym.Env[Any, Any]) -> None:
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    policy_kwargs = dict(features_extractor_class=CompressiveMemoryExtractor)
    with pytest.raises(ValueError, match=r"put VecHistory\(venv, history_length\).*or HistoryWrapper\(env"):
        sb3.PPO(policy, env, device="cpu", policy_kwargs=policy_kwargs)


def test_arguments_of_the_memory_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown memory core 'elephant'"):
        make("elephant")
    with pytest.raises(TypeError, match="memory_kwargs has 'd_model', which GRUMemory does not know"):
        make("gru", memory_kwargs=dict(d_model=3))
    with pytest.raises(ValueError, match=r"judger that learns, which memory_agents\.PPO trains"):
        make("compressive", memory_kwargs=dict(judger=True))
    with pytest.raises(ValueError, match=r"one decision for all of a batch, .* use judger=dict\(decisions='sample'\)"):
        make("compressive", memory_kwargs=dict(judger=dict(decisions="batch")))
    with pytest.raises(ValueError, match="asks for a RandomJudge, which would draw other decisions when learning"):
        make("compressive", memory_kwargs=dict(judger=dict(kind="random")))


def test_a_judger_that_is_told_reads_importance() -> None:
    kwargs: dict[str, Any] = dict(memory_kwargs=dict(judger="oracle"))
    with pytest.raises(ValueError, match=r"put memory_agents\.envs\.ShowImportance around each environment"):
        make("compressive", **kwargs)
    env = HistoryWrapper(ShowImportance(CueStream(length=64)), 40)
    agent = stock_agent(env, "compressive")
    assert isinstance(env.observation_space, HistorySpace)
    told = make("compressive", 40, env.observation_space.inner, **kwargs)
    features: BaseFeaturesExtractor = extractor_of(agent).features_extractor
    assert isinstance(features, CombinedFeatures)
    assert told.memory.input_dim == features.features_dim
    observation, _ = env.reset()
    for _ in range(36):
        observation, *_ = env.step(0)
    obs = agent.policy.obs_to_tensor(observation)[0]
    assert isinstance(obs, dict)
    prepared = {name: entry.float() for name, entry in obs.items()}
    length = th.nn.functional.one_hot(obs["history_length"].long(), 41)
    y = told({**prepared, "history_length": length})
    all_matter = {**prepared, "important": th.ones_like(prepared["important"])}
    assert not th.equal(told({**all_matter, "history_length": length}), y)
