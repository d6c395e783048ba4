from __future__ import annotations

import pytest
from gymnasium.utils.env_checker import check_env

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.suites.bsuite import SUITE

sweep = pytest.importorskip("bsuite.sweep")
SUITE.load()

EXPERIMENTS = sorted({bsuite_id.partition("/")[0] for bsuite_id in sweep.SWEEP})


def test_every_id_of_bsuite_is_registered() -> None:
    assert SUITE.ids() == [f"bsuite-{bsuite_id.replace('/', '-')}-v0" for bsuite_id in sweep.SETTINGS]


# Those of mnist download a data set, and bsuite cannot seed deep_sea_stochastic.
@pytest.mark.filterwarnings("ignore:.*A Box observation space .* value is")
@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if not name.startswith(("mnist", "deep_sea_s"))])
def test_every_experiment_plays(experiment: str) -> None:
    env = make_env(TrainingConfig(f"bsuite-{experiment}-0-v0"))

    check_env(env.unwrapped, skip_render_check=True)


def play_memory_chain(length: int, seed: int, right: bool) -> tuple[list[float], dict[str, bool]]:
    env = make_env(TrainingConfig("bsuite-memory_len-10-v0", env_kwargs={"memory_length": length}))
    bit = int(env.reset(seed=seed)[0][2] > 0)
    rewards, over = [], False
    info: dict[str, bool] = {}
    while not over:
        _, reward, over, truncated, info = env.step(bit if right else 1 - bit)
        assert not truncated
        rewards.append(float(reward))
    return rewards, info


def test_a_time_limit_leaves_success_to_tell() -> None:
    env = make_env(TrainingConfig("bsuite-memory_len-10-v0", env_kwargs={"max_episode_steps": 3}))
    env.reset(seed=0)
    for _ in range(2):
        assert env.step(0)[4] == {}
    assert env.step(0)[2:] == (False, True, {"is_success": False})


@pytest.mark.parametrize("length", [1, 12, 40])
def test_one_bit_decides_the_memory_chain(length: int) -> None:
    for seed in range(4):
        assert play_memory_chain(length, seed, True) == ([0.0] * length + [1.0], {"is_success": True})
        assert play_memory_chain(length, seed, False) == ([0.0] * length + [-1.0], {"is_success": False})


def test_settings_are_those_of_bsuite_unless_replaced() -> None:
    def length(index: int, **kwargs: int) -> int:
        env = make_env(TrainingConfig(f"bsuite-memory_len-{index}-v0", env_kwargs=kwargs))
        env.reset(seed=0)
        return next(step for step in range(1_000) if env.step(0)[2])

    assert [length(index) for index in (0, 10, 22)] == [1, 12, 100]
    assert length(0, memory_length=7) == 7
    with pytest.raises(UsageError, match="colour"):
        length(0, colour=7)


def test_environments_side_by_side_differ() -> None:
    bits = [make_env(TrainingConfig("bsuite-memory_size-16-v0")).reset(seed=seed)[0] for seed in range(8)]

    assert len({observation.tobytes() for observation in bits}) == 8


def test_time_limits_end_episodes() -> None:
    env = make_env(TrainingConfig("bsuite-mountain_car-0-v0"))
    env.reset(seed=0)
    ends = [env.step(1)[2:4] for _ in range(1_000)]

    assert ends == [(False, False)] * 999 + [(True, False)]
