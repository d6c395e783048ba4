"""Memory states: nested tuples, named tuples and dictionaries of tensors whose first dimension is the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

import torch as th

from memory_agents.nn.tracing import is_traced

S = TypeVar("S")


def tree_leaves(tree: Any) -> Iterator[th.Tensor]:
    """
    :param tree: a state
    :return: its tensors, in a fixed order
    :raises TypeError: when something in it is neither a tensor nor a tuple nor a dictionary
    """
    if isinstance(tree, th.Tensor):
        yield tree
    elif isinstance(tree, (tuple, dict)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from tree_leaves(child)
    else:
        raise TypeError(f"a memory state holds tensors, tuples and dictionaries; found {type(tree).__name__}")


def tree_map(function: Callable[..., th.Tensor], tree: S, *others: S) -> S:
    """
    :param function: called with the corresponding tensors of all states
    :param tree: a state
    :param others: more states of the same structure
    :return: a state of the same structure, holding the results
    :raises TypeError: when something in it is neither a tensor nor a tuple nor a dictionary
    """
    return cast(S, _map(function, tree, *others))


def _map(function: Callable[..., th.Tensor], tree: Any, *others: Any) -> Any:
    if isinstance(tree, th.Tensor):
        return function(tree, *others)
    if isinstance(tree, dict):
        return {key: _map(function, child, *(other[key] for other in others)) for key, child in tree.items()}
    if isinstance(tree, tuple):
        children = [_map(function, *corresponding) for corresponding in zip(tree, *others, strict=True)]
        return type(tree)(*children) if hasattr(tree, "_fields") else tuple(children)
    raise TypeError(f"a memory state holds tensors, tuples and dictionaries; found {type(tree).__name__}")


def tree_fill(tree: S, leaves: Iterable[th.Tensor]) -> S:
    """
    Undo :func:`tree_leaves`.

    :param tree: a state
    :param leaves: as many tensors as it has
    :return: a state of the same structure that holds them
    :raises ValueError: when there are more or fewer
    """
    given = list(leaves)
    if len(given) != (expected := sum(1 for _ in tree_leaves(tree))):
        raise ValueError(f"{len(given)} tensors are given for a state of {expected}; give those of one like it")
    following = iter(given)
    return tree_map(lambda _: next(following), tree)


def tree_clone(tree: S) -> S:
    """
    :param tree: a state
    :return: a copy that shares no memory with it
    """
    return tree_map(th.clone, tree)


def tree_select(tree: S, index: th.Tensor) -> S:
    """
    :param tree: a state
    :param index: batch entries to take, (n,) integers
    :return: a new state with the batch size n
    """
    return tree_map(lambda leaf: leaf[index], tree)


def tree_cat(trees: list[S]) -> S:
    """
    :param trees: states of the same structure
    :return: one state, their batches in a row
    """
    return tree_map(lambda *leaves: th.cat(leaves), *trees)


def tree_to(tree: S, device: th.device) -> S:
    """
    :param tree: a state
    :param device: where it shall lie
    :return: the state there
    """
    return tree_map(lambda leaf: leaf.to(device), tree)


def per_entry(flags: th.Tensor, leaf: th.Tensor) -> th.Tensor:
    """
    :param flags: one for each batch entry, (batch,)
    :param leaf: a tensor of a state, (batch, ...)
    :return: the flags in a shape that fits beside it, (batch, 1, ...)
    """
    return flags.view(-1, *(1,) * (leaf.dim() - 1))


def tree_bytes(tree: Any) -> int:
    """
    :param tree: a state
    :return: bytes its tensors hold
    """
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(tree))


def tree_drift(tree: Any, stored: Any) -> float:
    """
    :param tree: a state
    :param stored: a state of the same structure
    :return: norm of the difference of their floating point tensors relative to the norm of the stored ones, 0 where
        that is 0; a device is waited for once
    """
    pairs = zip(tree_leaves(tree), tree_leaves(stored), strict=True)
    sums = [th.stack([(new - old).square().sum(), old.square().sum()]) for new, old in pairs if old.is_floating_point()]
    if not sums:
        return 0.0
    difference, size = th.stack(sums).sum(dim=0, dtype=th.float64).tolist()
    return float((difference / size) ** 0.5) if size else 0.0


def batch_size(tree: Any) -> int:
    """
    :param tree: a state
    :return: the size of its first dimension
    :raises ValueError: when it holds no tensor that has one
    """
    first = next(tree_leaves(tree), None)
    if first is None:
        raise ValueError(
            f"the state {tree!r} holds no tensor to read a batch size from; let initial_state() give "
            "torch.zeros(batch_size, 0) where there is nothing to remember"
        )
    return int(first.shape[0])


def check_batch(state: Any, x: th.Tensor) -> None:
    """
    :param state: a state
    :param x: inputs that go on from it, (batch, ...)
    :raises ValueError: when it is of another number of batch entries; rows of other entries could be read in silence
    """
    if not is_traced() and (size := batch_size(state)) != len(x):
        raise ValueError(
            f"the state has {size} batch entries and the inputs have {len(x)}; give the state of as many, or "
            f"initial_state({len(x)}) to begin with"
        )
