"""The algorithmic tasks: what is asked, and that it can be answered from what is read."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch as th

from memory_agents.sequence import (
    Copy,
    Quadratic,
    Retrieval,
    Reverse,
    SequenceModel,
    SequenceTask,
    SequenceTrainer,
    evaluate,
    task_registry,
)
from memory_agents.sequence.quadratic import CHARACTERS, LINE, LINES, equation


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", list(task_registry))
def test_sequences_follow_from_the_seed_and_stay_in_the_vocabulary(name: str) -> None:
    task = task_registry[name]()
    batch = task.draw(50, rng())
    assert batch.tokens.shape == (50, task.length)
    assert batch.tokens.min() >= 0
    assert batch.tokens.max() < task.vocabulary_size
    # What is foretold is read next.
    assert th.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    assert batch.starts[:, 0].all()
    assert not batch.starts[:, 1:].any()
    assert th.equal(batch.tokens, task.draw(50, rng()).tokens)
    assert not th.equal(batch.tokens, task.draw(50, rng(1)).tokens)
    assert task.answers(batch).scored.any(dim=1).all()
    assert (task.answers(batch).scored <= batch.scored).all()


def test_copy() -> None:
    batch = Copy().draw(20, rng())
    assert batch.tokens.shape == (20, 72)
    for tokens, targets, scored in zip(batch.tokens, batch.targets, batch.scored, strict=True):
        assert scored.sum() == 48
        assert th.equal(targets[scored], th.cat([tokens[:24], tokens[:24]]))
        assert tokens[24] == 0
    assert len(np.unique(batch.tokens[:, :24].numpy())) == 10


def test_reverse() -> None:
    batch = Reverse(n_symbols=5, alphabet=3).draw(20, rng())
    assert batch.tokens.shape == (20, 10)
    for tokens, targets, scored in zip(batch.tokens, batch.targets, batch.scored, strict=True):
        assert th.equal(targets[scored], tokens[:5].flip(0))
    assert batch.tokens.max() == 3


def test_retrieval() -> None:
    batch = Retrieval().draw(300, rng())
    assert batch.tokens.shape == (300, 10)
    places = set()
    for tokens, targets, scored in zip(batch.tokens.tolist(), batch.targets, batch.scored, strict=True):
        keys, values = tokens[0:8:2], tokens[1:8:2]
        assert len(set(keys)) == 4
        assert all(1 <= key <= 10 < value <= 20 for key, value in zip(keys, values, strict=True))
        place = keys.index(tokens[8])
        places.add(place)
        assert targets[scored].tolist() == [values[place]]
    assert places == {0, 1, 2, 3}


def text(tokens: th.Tensor) -> list[str]:
    characters = "".join((" " + CHARACTERS)[token] for token in tokens.tolist())
    return [characters[start : start + LINE].rstrip() for start in range(0, LINES * LINE, LINE)]


def test_quadratic_equations_are_solved() -> None:
    task = Quadratic()
    tokens, scored = task.sequences(400, rng())
    without = 0
    for row, counted in zip(th.as_tensor(tokens), scored.reshape(400, LINES, LINE), strict=True):
        given, normal, discriminant, first, second, answer = lines = text(row)
        # As Python reads them.
        at = [eval(re.sub(r"\^", "**", line.removesuffix("=0")), {"x": x}) for line in (given, normal) for x in (0, 1)]
        factor = at[0] / at[1 + 1] if at[2] else at[1] / at[3]
        assert at[0] == factor * at[2]
        assert at[1] == factor * at[3]
        assert 1 <= abs(factor) <= 10
        c = at[2]
        b = at[3] - 1 - c
        value = b**2 - 4 * c
        assert discriminant.startswith(f"D={abs(b)}^2-4*1*{c}={value}")
        if value < 0:
            without += 1
            assert lines[3:] == ["", "", ""]
        else:
            roots = [int(line.rpartition("=")[2]) for line in (first, second)]
            assert all(root**2 + b * root + c == 0 and abs(root) < 100 for root in roots)
            assert [eval(line[2:].rpartition("=")[0]) for line in (first, second)] == roots
            assert answer == ",".join(map(str, dict.fromkeys(roots)))
            root = roots[1] - roots[0]
            assert discriminant.endswith(f"={root}^2")
            assert root**2 == value
        assert [int(line.sum()) for line in counted] == [0] + [len(line) + 1 for line in lines[1:]]
    assert 50 < without < 110


def test_the_answer_is_what_equations_are_judged_by() -> None:
    batch = Quadratic().draw(3, rng())
    scored = Quadratic().answers(batch).scored
    assert not scored[:, :-LINE].any()
    assert th.equal(scored[:, -LINE:], batch.scored[:, -LINE:])


def test_equations_are_written_as_one_writes_them() -> None:
    assert equation(1, -1, 0) == "x^2-x=0"
    assert equation(-1, 0, 4) == "-x^2+4=0"
    assert equation(-8, -1232, -45384) == "-8*x^2-1232*x-45384=0"
    assert equation(2, 1, 1) == "2*x^2+x+1=0"


def test_arguments_of_equations() -> None:
    lines = [Quadratic(max_root=5, max_factor=1, no_roots=0.0).lines(rng(seed)) for seed in range(50)]
    assert all(line[0].lstrip("-").startswith("x^2") for line in lines)
    assert all(abs(int(root)) < 5 for line in lines for root in line[5].split(","))
    assert all(Quadratic(no_roots=1.0).lines(rng(seed))[5] == "" for seed in range(20))


def test_segments() -> None:
    assert [Copy().segment_length(n) for n in (1, 3, 6, 9)] == [72, 24, 12, 8]
    assert [Retrieval().segment_length(n) for n in (2, 3, 4, 5)] == [5, 4, 3, 2]
    assert Quadratic().segment_length(6) == LINE
    with pytest.raises(ValueError, match="n_segments=9 does not split 10 tokens; use 10"):
        Retrieval().segment_length(9)


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        (Copy, dict(n_symbols=0), "n_symbols"),
        (Reverse, dict(alphabet=1), "alphabet"),
        (Retrieval, dict(n_keys=3), "n_keys=3 are too few for n_pairs=4; use n_keys=4"),
        (Retrieval, dict(n_values=1), "n_values"),
        (Quadratic, dict(max_root=101), "use at most 100 and 10"),
        (Quadratic, dict(max_factor=11), "use at most 100 and 10"),
        (Quadratic, dict(no_roots=1.5), "no_roots is 1.5"),
    ],
)
def test_bad_arguments(task: type[SequenceTask], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**arguments)


def test_memory_learns_to_copy_and_none_does_not() -> None:
    """Four symbols, four segments: nothing of the source is in the segment that is answered in."""
    task = Copy(n_symbols=4, alphabet=4)
    accuracy = {}
    for forgets in (False, True):
        th.manual_seed(0)
        sizes = dict(d_model=32, n_heads=2, d_feedforward=64, gating="none")
        model = SequenceModel(5, "rmt", dict(segment_length=3, n_memory_tokens=4, **sizes), d_embedding=32)
        trainer = SequenceTrainer(model, learning_rate=5e-3, warmup=20)
        source = rng()

        def draw(n: int, source: np.random.Generator, forgets: bool = forgets) -> Any:
            batch = task.draw(n, source)
            if forgets:
                batch.starts[:, ::3] = True
            return batch

        for _ in range(250):
            trainer.update(draw(64, source))
        accuracy[forgets] = evaluate(model, [draw(300, rng(10**6))]).accuracy
    assert accuracy[False] > 0.9
    assert accuracy[True] < 0.4
