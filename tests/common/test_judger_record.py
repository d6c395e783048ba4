"""Records of what a judged memory does: played, saved, counted, also while training."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from memory_agents import PPO
from memory_agents.common import JudgerRecord, JudgerRecorder, decision_summary, record_episodes
from memory_agents.common.judger_training import learned_judges
from memory_agents.envs import CueStream, ShowImportance
from memory_agents.memory.compressive import MemoryShape
from tests.algorithms.agents import MaskedToy, make
from tests.ppo.toys import TINY, Toy, toy_agent, toy_venv

M, N, RATE, BLOCK, LENGTH = 6, 4, 2, 2, 40


def stream() -> CueStream:
    return CueStream(length=LENGTH, delay=(5, 8))


def agent(judger: Any = True, **kwargs: Any) -> PPO:
    env = ShowImportance(stream()) if judger == "oracle" else stream()
    policy_kwargs = dict(memory_kwargs=dict(TINY, judger=judger))
    return PPO("CompressiveMemoryPolicy", env, policy_kwargs=policy_kwargs, device="cpu", seed=1, **kwargs)


@pytest.fixture(scope="module")
def drawn() -> JudgerRecord:
    return record_episodes(agent({"kind": "random", "probability": 0.3}).policy, stream(), seed=3)[0]


def test_a_record_tells_the_episode(drawn: JudgerRecord) -> None:
    batch = stream().supervised_batch(1, 3)
    assert len(drawn) == LENGTH
    assert drawn.shape == MemoryShape(M, N, RATE, BLOCK)
    assert drawn.tells_importance
    assert not drawn.deterministic
    np.testing.assert_array_equal(drawn.important, batch.important[0])
    np.testing.assert_array_equal(drawn.asked, batch.mask[0])
    assert not drawn.rewards[~drawn.asked].any()

    blocks = drawn.blocks
    np.testing.assert_array_equal(blocks.first, np.arange(0, LENGTH - M, BLOCK))
    np.testing.assert_array_equal(blocks.last - blocks.first, BLOCK - 1)
    np.testing.assert_array_equal(blocks.step, blocks.first + M)
    for first, important in zip(blocks.first, blocks.important, strict=True):
        assert important == batch.important[0, first : first + BLOCK].any()
    assert blocks.keep[~blocks.judged].all()
    assert (~blocks.judged).sum() == N * RATE // BLOCK
    assert set(np.round(blocks.log_prob[blocks.judged], 4)) == set(np.log([0.3, 0.7]).round(4).astype(np.float32))


def test_a_record_tells_where_attention_goes(drawn: JudgerRecord) -> None:
    assert drawn.slot_attention.shape == (LENGTH, 2, N)
    assert drawn.recent_attention.shape == (LENGTH, 2, M + 1)
    np.testing.assert_allclose(drawn.slot_attention.sum(2) + drawn.recent_attention.sum(2), 1, rtol=1e-5)
    kept = drawn.blocks.first[drawn.blocks.keep]
    for step in range(LENGTH):
        held = [token for token in kept if token + M < step][::-1][:N]
        assert drawn.slot_tokens[step].tolist() == held + (N - len(held)) * [-1]


def test_keeping_everything_reads_as_far_as_a_queue() -> None:
    record = record_episodes(agent("keep").policy, stream(), seed=0)[0]
    np.testing.assert_array_equal(record.reading_distance, record.reading_distance_if_all_kept)
    assert record.reading_distance.max() == M + N * RATE - 1


def test_the_oracle_keeps_what_matters() -> None:
    env = ShowImportance(stream())
    figures = decision_summary(record_episodes(agent("oracle").policy, env, seed=0))
    assert (figures["keep_rate_important"], figures["keep_rate_other"]) == (1.0, 0.0)
    assert 0 < figures["keep_rate"] < 1


def test_deterministic_and_seed_are_heeded() -> None:
    learned = agent()
    ((_, _, judge),) = learned_judges(learned.policy)
    with th.no_grad():
        judge.network.head.weight.zero_()
        judge.network.head.bias.copy_(th.tensor([0.0, 0.1]))
    sure, same, other = (
        record_episodes(learned.policy, stream(), deterministic=True, seed=seed)[0] for seed in (1, 1, 2)
    )
    assert sure.deterministic
    assert sure.blocks.keep.all()
    assert not record_episodes(learned.policy, stream(), seed=1)[0].blocks.keep.all()
    np.testing.assert_array_equal(sure.slot_attention, same.slot_attention)
    assert not np.array_equal(sure.important, other.important)


def test_several_environments_give_a_record_each() -> None:
    learned = agent()
    venv = VecMonitor(DummyVecEnv([stream, lambda: CueStream(length=30, delay=(5, 8)), stream]))
    records = record_episodes(learned.policy, venv, seed=5)
    assert [len(record) for record in records] == [LENGTH, 30, LENGTH]
    for index in (0, 2):
        np.testing.assert_array_equal(records[index].important, stream().supervised_batch(1, 5 + index).important[0])


@pytest.mark.parametrize("observation", ["box", "dict_image", "nested"])
def test_environments_that_do_not_tell_are_recorded_too(observation: str, tmp_path: Path) -> None:
    policy_kwargs = dict(memory_kwargs=dict(TINY, memory_length=2, compressed_length=1, judger="discard"))
    learned = PPO("CompressiveMemoryPolicy", Toy(observation), policy_kwargs=policy_kwargs, device="cpu")
    record = record_episodes(learned.policy, Toy(observation), seed=0)[0]
    assert not record.tells_importance
    figures = decision_summary([record])
    assert figures["keep_rate_important"] is figures["keep_rate_other"] is None


def test_records_are_read_back_as_they_were(drawn: JudgerRecord, tmp_path: Path) -> None:
    drawn.save(tmp_path / "a.npz")
    again = JudgerRecord.load(tmp_path / "a.npz")
    for field in fields(JudgerRecord):
        one, other = getattr(drawn, field.name), getattr(again, field.name)
        assert type(one) is type(other)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["block_first"], drawn.blocks.first)
        assert file["memory_length"] == M


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"b\.npz is no record of a judger.*pass a file that JudgerRecord.save wrote"):
        JudgerRecord.load(tmp_path / "b.npz")


def test_summaries_count_what_was_judged() -> None:
    shape, no = MemoryShape(2, 1, 1, 1), np.zeros(7, np.bool_)
    record = JudgerRecord(
        shape=shape,
        deterministic=True,
        tells_importance=True,
        keep=np.array([0, 0, 1, 1, 0, 1, 0], np.bool_),
        judged=np.array([0, 0, 0, 1, 1, 1, 1], np.bool_),
        log_prob=np.zeros(7, np.float32),
        reading_distance=np.array([0, 1, 2, 2, 3, 2, 3]),
        rewards=np.zeros(7, np.float32),
        important=np.array([1, 1, 1, 0, 0, 0, 0], np.bool_),
        asked=no,
        slot_attention=np.zeros((7, 0, 1), np.float32),
        slot_tokens=np.zeros((7, 0), np.int64),
        recent_attention=np.zeros((7, 0, 3), np.float32),
    )
    assert record.blocks.first.tolist() == [0, 1, 2, 3, 4]
    expected = {
        "decisions": 4,
        "keep_rate": 0.5,
        "keep_rate_important": 0.5,
        "keep_rate_other": 0.5,
        "mean_reading_distance": 13 / 7,
        "max_reading_distance": 3,
    }
    assert decision_summary([record]) == expected
    assert decision_summary([record, record]) == {**expected, "decisions": 8}
    nothing = decision_summary([])
    assert nothing.pop("decisions") == 0
    assert set(nothing.values()) == {None}
    assert decision_summary([replace(record, tells_importance=False)])["keep_rate_other"] is None


def test_training_saves_records_and_goes_on_as_without(tmp_path: Path) -> None:
    sizes: dict[str, Any] = dict(n_steps=64, batch_size=32, n_epochs=1)
    recorder = JudgerRecorder(tmp_path / "records", stream(), every=50)
    watched, alone = (agent(**sizes).learn(128, callback=callback) for callback in (recorder, None))
    assert [path.name for path in sorted((tmp_path / "records").iterdir())] == [
        f"{steps:09d}.npz" for steps in (1, 51, 101, 128)
    ]
    first, last = (JudgerRecord.load(tmp_path / "records" / f"{steps:09d}.npz") for steps in (1, 128))
    np.testing.assert_array_equal(first.important, last.important)
    assert not np.array_equal(first.slot_attention, last.slot_attention)
    for one, other in zip(watched.policy.parameters(), alone.policy.parameters(), strict=True):
        assert th.equal(one, other)


def test_several_environments_give_a_file_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    venv = DummyVecEnv([stream, stream])
    recorder = JudgerRecorder(tmp_path, venv, every=10**6, deterministic=True, verbose=1)
    agent(n_steps=32, batch_size=32, n_epochs=1).learn(32, callback=recorder)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{steps:09d}-{env}.npz" for steps in (1, 32) for env in (0, 1)}
    assert JudgerRecord.load(tmp_path / "000000001-1.npz").deterministic
    assert "000000032-0.npz" in capsys.readouterr().out


def test_what_is_drawn_for_records_is_drawn_apart(tmp_path: Path) -> None:
    recorder = JudgerRecorder(tmp_path, stream(), every=50, seed=None)
    watched, alone = (small(callback) for callback in (recorder, None))
    for one, other in zip(watched.policy.parameters(), alone.policy.parameters(), strict=True):
        assert th.equal(one, other)
    first, last = (JudgerRecord.load(path) for path in (sorted(tmp_path.iterdir())[index] for index in (0, -1)))
    assert not np.array_equal(first.important, last.important)


def small(callback: BaseCallback | None) -> PPO:
    """An agent that learns in several minibatches, whose order is drawn."""
    return agent(n_steps=64, sequence_length=16, batch_size=32, n_epochs=1).learn(128, callback=callback)


def test_every_training_is_recorded_from_its_first_step_on(tmp_path: Path) -> None:
    recorder = JudgerRecorder(tmp_path, stream(), every=50)
    learner = agent(n_steps=64, batch_size=32, n_epochs=1).learn(128, callback=recorder)
    for path in tmp_path.iterdir():
        path.unlink()
    learner.learn(64, callback=recorder)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["000000001", "000000051", "000000064"]
    learner.learn(64, callback=recorder, reset_num_timesteps=False)
    names = ["000000001", "000000051", "000000064", "000000065", "000000115", "000000128"]
    assert sorted(path.stem for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("use_masking", [True, False])
def test_invalid_actions_are_masked_as_in_training(tmp_path: Path, use_masking: bool) -> None:
    policy_kwargs = dict(memory_kwargs=dict(TINY, judger=True))
    learner = make("MaskablePPO", policy_kwargs=policy_kwargs, env=None if use_masking else toy_venv())
    taken: list[bool] = []

    class Watched(MaskedToy):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            taken.append(bool(self.valid[action]))
            self.valid[:] = True
            return super().step(action)

    learner.learn(96, use_masking=use_masking, callback=JudgerRecorder(tmp_path, Watched(), every=4))
    assert len(taken) > 50
    assert all(taken) == use_masking


def normalized(**kwargs: Any) -> VecNormalize:
    return VecNormalize(DummyVecEnv([lambda: TransformObservation(stream(), lambda x: x * 10 + 100, BOX)]), **kwargs)


BOX = spaces.Box(-np.inf, np.inf, stream().observation_space.shape, np.float32)


def test_observations_are_normalised_as_in_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy_kwargs = dict(memory_kwargs=dict(TINY, judger=True))
    learner = toy_agent(normalized(), policy_kwargs=policy_kwargs)
    env = normalized(training=False)
    recorder = JudgerRecorder(tmp_path, env, every=10**6)
    learner.learn(96, callback=recorder)
    theirs = learner.get_vec_normalize_env()
    assert theirs is not None
    mine: Any = env.obs_rms
    real: Any = theirs.obs_rms
    assert mine is not real
    assert mine.count == real.count > 96
    np.testing.assert_array_equal(mine.mean, real.mean)

    with pytest.raises(ValueError, match=r"training normalises them; put VecNormalize\(venv, training=False\) around"):
        learner.learn(96, callback=JudgerRecorder(tmp_path, env.venv))
    rewards_only = toy_agent(normalized(norm_obs=False), policy_kwargs=policy_kwargs)
    with pytest.raises(ValueError, match="training shows them as they are; take VecNormalize off it"):
        rewards_only.learn(96, callback=recorder)
    rewards_only.learn(96, callback=JudgerRecorder(tmp_path, env.venv, every=10**6))


def test_a_memory_without_judge_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match=r"no judged memory here; build the policy with memory_kwargs=dict\(judger="):
        record_episodes(agent(None).policy, stream())


def test_every_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every must be a positive integer, got 0"):
        JudgerRecorder(tmp_path, stream(), every=0)
