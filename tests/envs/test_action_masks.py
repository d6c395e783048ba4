"""Environments that tell which actions are valid: those that do something."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from memory_agents.envs import Concentration, HiddenGoal, MemoryEnv, ObjectMatchingGrid, TMaze
from memory_agents.envs.base import Masks
from memory_agents.envs.three_phase import ThreePhase
from tests.envs.playing import SETTINGS, play, play_oracle, setting_name

MASKED = [(env_class, kwargs) for env_class, kwargs in SETTINGS if hasattr(env_class, "action_masks")]
over_masked = pytest.mark.parametrize(("env_class", "kwargs"), MASKED, ids=setting_name)


def masks_of(env: Any) -> Masks:
    masks: Masks = env.action_masks()
    assert masks.shape == (env.action_space.n,)
    assert masks.dtype == np.bool_
    assert masks.any()
    return masks


def whereabouts(env: MemoryEnv) -> tuple[Any, ...]:
    """What actions can change: where the agent is, or which cards are seen."""
    if isinstance(env, Concentration):
        return tuple(env._shown)
    if isinstance(env, TMaze):
        return env._cell, env._arm
    if isinstance(env, HiddenGoal):
        return env._cell, env._hits
    if isinstance(env, ThreePhase):
        return env._row, env._column, env._phase
    assert isinstance(env, ObjectMatchingGrid)
    return (*env._cell, len(env._picks))


def test_those_with_walls_or_cards_tell() -> None:
    assert {env_class.__name__ for env_class, _ in MASKED} == {
        "Concentration",
        "HiddenGoal",
        "KeyToDoor",
        "ObjectMatchingGrid",
        "TMaze",
        "VisualMatch",
    }


@over_masked
def test_invalid_is_what_changes_nothing(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    env.reset(seed=0)
    env.action_space.seed(0)
    told = 0
    for _ in range(60):
        masks, before = masks_of(env), whereabouts(env)
        outcomes = []
        for action in range(len(masks)):
            after = copy.deepcopy(env)
            after.step(action)
            outcomes.append(whereabouts(after))
        # Where all actions come to the same, as in a corridor that walks itself, none is better than another.
        if len(set(outcomes)) > 1:
            assert masks.tolist() == [outcome != before for outcome in outcomes]
            told += not masks.all()
        else:
            assert masks.all() or outcomes[0] != before
        _, _, over, _, _ = env.step(int(env.action_space.sample(masks.astype(np.int8))))
        if over:
            env.reset()
    assert told or (isinstance(env, TMaze) and env.auto_advance)


@over_masked
def test_valid_actions_are_enough(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    """The oracle, which sometimes waits by walking against a wall, loses nothing when it may not."""
    env = env_class(**kwargs)
    oracle = env.oracle()
    oracle.reset()
    replaced = 0

    def act(observation: Any) -> int:
        nonlocal replaced
        masks, action = masks_of(env), oracle.act(observation)
        replaced += not masks[action]
        return action if masks[action] else int(masks.argmax())

    masked, _ = play(env, act, seed=1)
    assert masked == play_oracle(env, seed=1)[0]
    assert not replaced or isinstance(env, ThreePhase)


@over_masked
def test_masks_need_an_episode_and_share_nothing(env_class: type[MemoryEnv], kwargs: dict[str, Any]) -> None:
    env = env_class(**kwargs)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before action_masks\(\)"):
        env.action_masks()  # type: ignore[attr-defined]
    env.reset(seed=0)
    masks_of(env)[:] = False
    masks_of(env)


def test_cards_that_lie_face_up_are_invalid_but_after_a_mismatch() -> None:
    env = Concentration(n_pairs=2)
    env.reset(seed=0)
    first, other = 0, next(card for card in range(4) if env._cards[card] != env._cards[0])
    assert masks_of(env).all()
    env.step(first)
    assert masks_of(env).tolist() == [card != first for card in range(4)]
    env.step(other)
    assert masks_of(env).all()
    env.step(first)
    assert masks_of(env).all()


def test_the_maze_has_walls() -> None:
    env = TMaze(auto_advance=False, corridor=2)
    env.reset(seed=0)
    told = []
    for action in (0, 0, 1):
        told.append(masks_of(env).tolist())
        env.step(action)
    east, north, west, south = np.eye(4, dtype=bool)
    assert told == [east.tolist(), (east | west).tolist(), (north | west | south).tolist()]
    assert masks_of(env).tolist() == south.tolist()
