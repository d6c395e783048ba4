"""Trees of tensors."""

from typing import Any, NamedTuple

import pytest
import torch as th

from memory_agents.memory import (
    batch_size,
    tree_bytes,
    tree_cat,
    tree_clone,
    tree_drift,
    tree_fill,
    tree_leaves,
    tree_map,
    tree_select,
    tree_to,
)


class Pair(NamedTuple):
    first: th.Tensor
    second: tuple[th.Tensor, ...]


TREE: dict[str, Any] = {"a": Pair(th.arange(3), (th.ones(3, 2), th.zeros(3, 1))), "b": ()}


def test_structure_survives() -> None:
    doubled = tree_map(lambda leaf: 2 * leaf, TREE)
    assert isinstance(doubled["a"], Pair)
    assert doubled["b"] == ()
    assert doubled["a"].first.tolist() == [0, 2, 4]
    summed = tree_map(th.add, TREE, doubled)
    assert summed["a"].first.tolist() == [0, 3, 6]


def test_selection_concatenation_sizes() -> None:
    chosen = tree_select(TREE, th.tensor([2, 0]))
    assert chosen["a"].first.tolist() == [2, 0]
    assert batch_size(tree_cat([TREE, chosen])) == 5
    assert tree_bytes(TREE) == 3 * 8 + 6 * 4 + 3 * 4
    assert next(tree_leaves(tree_to(TREE, th.device("meta")))).is_meta


def test_leaves_make_the_tree_that_they_are_of_and_no_other() -> None:
    filled = tree_fill(TREE, [leaf + 1 for leaf in tree_leaves(TREE)])
    assert isinstance(filled["a"], Pair)
    assert filled["a"].first.tolist() == [1, 2, 3]
    for n in (2, 4):
        with pytest.raises(ValueError, match=f"{n} tensors are given for a state of 3; give those of one like it"):
            tree_fill(TREE, n * [th.zeros(1)])


def test_a_clone_shares_no_memory() -> None:
    tree = {"a": th.zeros(2)}
    tree_clone(tree)["a"].add_(1)
    assert tree["a"].sum() == 0


def test_drift_is_the_difference_relative_to_what_was_stored() -> None:
    # Norms are those of all floating point leaves together: 5 against 13; numbers of steps are no part of them.
    stored = {"a": Pair(th.tensor([5]), (th.tensor([[12.0]]), th.tensor([[0.0, 5.0]])))}
    there = {"a": Pair(th.tensor([7]), (th.tensor([[15.0]]), th.tensor([[4.0, 5.0]])))}
    assert tree_drift(there, stored) == pytest.approx(5 / 13)
    assert tree_drift(stored, stored) == 0
    assert tree_drift({"a": th.ones(2)}, {"a": th.zeros(2)}) == 0
    assert tree_drift({"a": th.tensor([1])}, {"a": th.tensor([2])}) == 0


def test_other_leaves_are_refused() -> None:
    with pytest.raises(TypeError, match="found list"):
        tree_clone({"a": [th.zeros(1)]})
    with pytest.raises(TypeError, match="found int"):
        list(tree_leaves((1,)))


def test_a_state_without_tensors_has_no_batch_size() -> None:
    with pytest.raises(ValueError, match=r"the state \(\(\),\) holds no tensor .* torch.zeros\(batch_size, 0\)"):
        batch_size(((),))
    assert batch_size((th.zeros(3, 0),)) == 3
