"""Memory as a features extractor, for algorithms that know nothing of memory."""

from __future__ import annotations

from typing import Any

import torch as th
import torch.nn.functional as F
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, NatureCNN
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecTransposeImage

from memory_agents.common.auxiliary_loss import attach_loss
from memory_agents.common.building import agent_memory, default_features_extractor
from memory_agents.common.observations import check_importance
from memory_agents.memory import MemoryCore
from memory_agents.memory.compressive import judge_of
from memory_agents.wrappers.history import LENGTH, HistorySpace


class CompressiveMemoryExtractor(BaseFeaturesExtractor):
    """
    Gives any algorithm of Stable-Baselines3 and sb3-contrib that reads dictionaries (all but ARS and CrossQ; not with
    ``HerReplayBuffer``, whose goals would need histories of their own) the network of
    :class:`~memory_agents.common.MemoryActorCriticPolicy`, over histories of observations::

        histories -> features extractor, step by step -> memory -> its output at the newest step

        venv = VecHistory(make_vec_env(...), 32)
        policy_kwargs = dict(
            features_extractor_class=CompressiveMemoryExtractor,
            features_extractor_kwargs=dict(memory_class="compressive", memory_kwargs=dict(memory_length=32)),
        )
        SAC("MultiInputPolicy", venv, policy_kwargs=policy_kwargs)

    The memory begins with the oldest step of a history. So as long as an episode is not longer than the history, the
    numbers are those of a memory that has seen the episode step by step; after that, what is older is forgotten. Empty
    rows of a history change nothing.

    Each step of acting and each transition learned from runs the memory over a whole history: this is for algorithms
    that the library has no recurrent form of, and for memory that need not reach far. sb3-contrib's TRPO, of which it
    has one, differentiates twice, which PyTorch's fused attention in segmented memories cannot. A compressive memory
    fills no slot before a history is longer than its ``memory_length``; with ``compressed_length=0`` it computes the
    same until then, and is faster.

    :param observation_space: histories, :class:`~memory_agents.wrappers.HistorySpace`
    :param memory_class: registered name of a memory core, or a subclass of :class:`~memory_agents.memory.MemoryCore`
    :param memory_kwargs: its keyword arguments. Its own loss, where it has one (``compression_loss``), is minimised
        beside whatever is learned; the algorithm has to learn from first derivatives alone, as all but TRPO do
    :param features_extractor_class: what reads each observation (default: picked from the space inside, as
        :class:`~memory_agents.common.MemoryActorCriticPolicy` does)
    :param features_extractor_kwargs: its keyword arguments
    :param normalized_image: whether images are numbers that need no division by 255, as with the policy's
        ``normalize_images=False``
    :raises TypeError: when ``memory_class`` is no memory core or does not know an argument
    :raises ValueError: when observations are no histories, ``memory_class`` is an unknown name or its arguments do not
        fit together, or the memory has a judge that needs training of its own or draws lots
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        *,
        memory_class: str | type[MemoryCore[Any]] = "compressive",
        memory_kwargs: dict[str, Any] | None = None,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalized_image: bool = False,
    ) -> None:
        if not isinstance(observation_space, HistorySpace):
            raise ValueError(
                f"{type(self).__name__} reads histories of observations, but env shows {observation_space}; put "
                "VecHistory(venv, history_length) around vectorised environments, or HistoryWrapper(env, "
                "history_length) around a single one, as the last wrapper that changes observations"
            )
        super().__init__(observation_space, features_dim=1)
        self.history_length = observation_space.history_length
        self.normalized_image = normalized_image
        #: the space inside, images channel first
        self.inner = _channels_first(observation_space.inner)
        self._parts = observation_space.parts
        extractor_class = features_extractor_class or default_features_extractor(self.inner, not normalized_image)
        kwargs = dict(features_extractor_kwargs or {})
        if normalized_image and issubclass(extractor_class, NatureCNN | CombinedExtractor):
            kwargs["normalized_image"] = True
        self.features_extractor = extractor_class(self.inner, **kwargs)
        self.memory = agent_memory(memory_class, int(self.features_extractor.features_dim), dict(memory_kwargs or {}))
        if self.memory.is_told:
            check_importance(self.inner)
        if self.memory.judge_parameters():
            raise ValueError(
                f"memory_kwargs={memory_kwargs!r} asks for a judger that learns, which memory_agents.PPO trains and "
                "other algorithms do not; use a judger that need not learn, or none"
            )
        judge = judge_of(self.memory)
        if judge is not None and not judge.has_likeliest:
            raise ValueError(
                f"memory_kwargs={memory_kwargs!r} asks for a {type(judge).__name__}, which would draw other decisions "
                "when learning than when acting, as nothing here writes them down; use another judger, or an algorithm "
                "of memory_agents"
            )
        self._features_dim = self.memory.output_dim

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        :param observations: histories as Stable-Baselines3 prepares them, (batch, H, ...) each, and their lengths
            one-hot, (batch, H + 1)
        :return: outputs of the memory at the newest steps, (batch, features_dim)
        """
        counts = observations[LENGTH]
        lengths = counts.reshape(len(counts), -1).argmax(dim=1).clamp_min(1)
        longest = int(lengths.max())
        step = th.arange(longest, device=lengths.device)
        # From the oldest step on. Where there are fewer, rows follow the newest step, of which it knows nothing.
        rows = (self.history_length - lengths[:, None] + step).clamp_max(self.history_length - 1)
        x = self.features_extractor(self._steps(observations, rows)).view(*rows.shape, -1)
        # Said at the first step, too: what a memory has learned to begin with has gradients from there.
        starts = (step == 0).expand(len(rows), -1)
        if self.memory.has_loss:
            # An episode of one step leaves nothing behind that the memory's own loss could be about.
            starts = starts | (step >= lengths[:, None])
        y, loss = self.memory.unroll_with_loss(x, self.memory.initial_state(len(x)), starts)
        newest = y[th.arange(len(y), device=y.device), lengths - 1]
        return attach_loss(newest, loss) if loss is not None and loss.requires_grad else newest

    def _steps(self, observations: TensorDict, rows: th.Tensor) -> th.Tensor | TensorDict:
        """
        :param observations: histories
        :param rows: which of their rows, (batch, length)
        :return: these as the features extractor reads them, (batch * length, ...)
        """
        batch = th.arange(len(rows), device=rows.device)[:, None]
        steps = {}
        for name, space in self._parts.items():
            steps[name] = self._prepared(observations[name][batch, rows].flatten(0, 1), space)
        return steps if isinstance(self.inner, spaces.Dict) else steps["observation"]

    def _prepared(self, entry: th.Tensor, space: spaces.Space[Any]) -> th.Tensor:
        """What Stable-Baselines3 prepares of single observations, (n, ...): one-hot categories, images from 0 to 1."""
        if isinstance(space, spaces.Discrete):
            return F.one_hot(entry[:, 0].long(), int(space.n)).float()
        if isinstance(space, spaces.MultiDiscrete):
            n_choices = th.as_tensor(space.nvec, device=entry.device)
            written = entry.new_zeros(len(entry), int(space.nvec.sum()))
            return written.scatter_(1, n_choices.cumsum(0) - n_choices + entry.long(), 1.0)
        if is_image_space(space):
            assert isinstance(space, spaces.Box)
            pixels = entry if self.normalized_image else entry / 255.0
            return pixels if is_image_space_channels_first(space) else pixels.permute(0, 3, 1, 2)
        return entry.reshape(len(entry), *(space.shape or (1,)))


def _channels_first(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """
    :param space: observation space without nesting
    :return: the same with images as Stable-Baselines3's ``VecTransposeImage`` shows them
    """
    if isinstance(space, spaces.Dict):
        return spaces.Dict({name: _channels_first(part) for name, part in space.items()})
    if isinstance(space, spaces.Box) and is_image_space(space) and not is_image_space_channels_first(space):
        return VecTransposeImage.transpose_space(space)
    return space
