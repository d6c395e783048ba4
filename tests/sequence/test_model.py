"""Sequence models: the same however a sequence is cut, whatever the core."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch as th

from memory_agents.memory import GRUMemory, memory_registry, tree_leaves
from memory_agents.sequence import SequenceBatch, SequenceModel, evaluate

#: Sizes at which every core is quick, and whose windows cut segments and blocks in two.
KWARGS: dict[str, dict[str, Any]] = {
    "compressive": dict(memory_length=6, compressed_length=4, compression_rate=2, d_model=16, n_heads=2),
    **{name: dict(hidden_size=12) for name in ("lstm", "gru", "brc", "nbrc")},
    "rmt": dict(segment_length=5, n_memory_tokens=3, xl_memory=2, d_model=16, n_heads=2),
    "memformer": dict(segment_length=5, n_slots=3, d_model=16, n_heads=2),
    "block_recurrent": dict(segment_length=5, n_states=3, d_model=16, n_heads=2),
}
EVERY_CORE = pytest.mark.parametrize("name", list(memory_registry))


def make(name: str = "compressive", seed: int = 0, **kwargs: Any) -> SequenceModel:
    th.manual_seed(seed)
    return SequenceModel(7, name, KWARGS.get(name, {}), d_embedding=10, **kwargs)


def tokens(batch: int = 3, length: int = 23) -> th.Tensor:
    return th.randint(7, (batch, length), generator=th.Generator().manual_seed(1))


@EVERY_CORE
def test_segment_by_segment_gives_what_one_pass_gives(name: str) -> None:
    model, whole = make(name), tokens()
    logits, final = model(whole)
    assert logits.shape == (3, 23, 7)
    state, parts = None, []
    for part in th.split(whole, 4, dim=1):
        y, state = model(part, state)
        parts.append(y)
    th.testing.assert_close(th.cat(parts, dim=1), logits, atol=1e-5, rtol=1e-4)
    for one, other in zip(tree_leaves(state), tree_leaves(final), strict=True):
        th.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@EVERY_CORE
def test_the_loss_of_a_trained_state_does_not_depend_on_windows(name: str) -> None:
    model, whole = make(name), tokens(length=40)
    batch = SequenceBatch(whole, whole.roll(-1, 1), th.ones_like(whole, dtype=th.bool), th.zeros_like(whole).bool())
    _, before = model(tokens())
    losses = [
        evaluate(model, batches, window, before).loss
        for batches, window in (([batch], None), ([batch], 5), ([batch], 1), (list(batch.windows(16)), 7))
    ]
    assert losses == pytest.approx([losses[0]] * 4, abs=1e-5)


@EVERY_CORE
def test_memory_is_used_and_starts_empty_it(name: str) -> None:
    model, whole = make(name), tokens()
    other = whole.clone()
    other[:, 0] = (other[:, 0] + 1) % 7
    assert not th.allclose(model(whole)[0][:, 4], model(other)[0][:, 4], atol=1e-7)
    starts = th.zeros_like(whole, dtype=th.bool)
    starts[:, 3] = True
    th.testing.assert_close(model(whole, starts=starts)[0][:, 3:], model(other, starts=starts)[0][:, 3:])
    th.testing.assert_close(model(whole, starts=starts)[0][:, 3:], model(whole[:, 3:])[0], atol=1e-5, rtol=1e-4)


@EVERY_CORE
def test_generation_continues_as_the_logits_say(name: str) -> None:
    model, prompt = make(name), tokens(length=6)
    added = model.generate(prompt, 9, temperature=0)
    assert added.shape == (3, 9)
    logits, _ = model(th.cat([prompt, added], dim=1))
    assert th.equal(logits[:, 5:-1].argmax(dim=2), added)
    _, state = model(prompt[:, :4])
    copies = [leaf.clone() for leaf in tree_leaves(state)]
    assert th.equal(model.generate(prompt[:, 4:], 9, temperature=0, state=state), added)
    assert all(th.equal(one, leaf) for one, leaf in zip(copies, tree_leaves(state), strict=True))


def test_temperature_sharpens_and_the_generator_repeats() -> None:
    model, prompt = make(), tokens(batch=200, length=3)
    prompt[:] = prompt[:1]

    def drawn(temperature: float, seed: int = 0) -> th.Tensor:
        return model.generate(prompt, 2, temperature=temperature, generator=th.Generator().manual_seed(seed))

    likeliest = model.generate(prompt, 2, temperature=0)
    assert (likeliest == likeliest[0]).all()
    assert th.equal(drawn(1.0), drawn(1.0))
    assert not th.equal(drawn(1.0), drawn(1.0, seed=1))
    with th.no_grad():
        chance = float(model(prompt)[0][0, -1].softmax(dim=0).max())
    shares = [(drawn(temperature)[:, 0] == likeliest[0, 0]).float().mean() for temperature in (100.0, 1.0, 1e-3)]
    assert shares[0] < 0.3
    assert shares[1] == pytest.approx(chance, abs=0.12)
    assert shares[2] == 1.0
    for temperature in (1e-45, 1e-300):
        assert th.equal(drawn(temperature)[:, 0], likeliest[:, 0])


def test_dropout_drops_while_training_alone() -> None:
    model, whole = make(dropout=0.5), tokens()
    model.eval()
    still = model(whole)[0]
    assert th.equal(still, model(whole)[0])
    assert model.generate(whole, 1).shape == (3, 1)
    assert not model.training
    model.train()
    assert not th.allclose(still, model(whole)[0])
    with contextlib.suppress(ValueError):
        model.generate(whole + 99, 1)
    assert all(part.training for part in model.modules())


def test_the_cores_own_loss_comes_through() -> None:
    kwargs = dict(memory_length=6, compressed_length=4, compression_rate=2, d_model=16, n_heads=2)
    model = SequenceModel(7, "compressive", {**kwargs, "compression_loss": "autoencoding"})
    loss = model.segment(tokens()).loss
    assert loss is not None
    assert loss.item() > 0
    assert make().segment(tokens()).loss is None


class Tidy(GRUMemory):
    """With a loss of its own, and nothing said of segments."""

    has_loss = True

    def unroll_with_loss(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        outputs = self.unroll_outputs(x, state, episode_starts)
        return outputs, outputs.square().mean()


def test_the_own_loss_of_a_core_of_ones_own_comes_through() -> None:
    model, x = SequenceModel(7, Tidy, dict(hidden_size=12)), tokens()
    segment = model.segment(x)
    assert segment.loss is not None
    (gradient,) = th.autograd.grad(segment.loss, model.embedding.weight)
    assert gradient.any()
    plain = SequenceModel(7, "gru", dict(hidden_size=12))
    plain.load_state_dict(model.state_dict())
    logits, state = plain(x)
    assert th.equal(segment.logits, logits)
    assert all(map(th.equal, tree_leaves(segment.state), tree_leaves(state)))
    with th.no_grad():
        assert model.segment(x).loss is None


@pytest.mark.parametrize("name", ["rmt", "block_recurrent"])
def test_the_initial_memory_learns_from_the_first_window(name: str) -> None:
    model, whole = make(name), tokens()
    logits, state = model(whole)
    logits.square().sum().backward()
    gradient = dict(model.core.named_parameters())["initial_table"].grad
    assert gradient is not None
    assert gradient.any()
    starts = th.zeros_like(whole, dtype=th.bool)
    model(whole, state, starts)
    model(whole, None, starts)
    assert not starts.any()


@pytest.mark.parametrize("token", [-1, 7, 100])
def test_tokens_out_of_bounds_are_refused(token: int) -> None:
    model = make("compressive")
    given = tokens(2)
    given[1, 2] = token
    message = f"tokens go from {min(0, token)} to {max(6, token)}, and vocabulary_size is 7; use a larger one"
    given[0, :2] = th.tensor([0, 6])
    with pytest.raises(ValueError, match=message):
        model(given)
    with pytest.raises(ValueError, match=message):
        model.choose(given, deterministic=True)
    with pytest.raises(ValueError, match=message):
        model.generate(given, 1)


@EVERY_CORE
@pytest.mark.parametrize("rows", [1, 4])
def test_states_of_another_batch_are_refused(name: str, rows: int) -> None:
    model = make(name)
    _, state = model(tokens(rows))
    complaint = f"the state has {rows} batch entries and the inputs have 2; give the state of as many"
    with pytest.raises(ValueError, match=complaint):
        model(tokens(2), state)
    with pytest.raises(ValueError, match=complaint):
        model.core.step(th.randn(2, 10), model.core.unpack_state(state), th.zeros(2, dtype=th.bool))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(vocabulary_size=0), "vocabulary_size"),
        (dict(d_embedding=0), "d_embedding"),
        (dict(dropout=1.0), "dropout is 1.0; give a probability, at least 0 and below 1"),
        (dict(memory_class="elephant"), "elephant.*known"),
        (dict(memory_kwargs=dict(judger="oracle")), "told what matters"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceModel(**{"vocabulary_size": 7, **arguments})


def test_unknown_arguments_of_the_core() -> None:
    with pytest.raises(TypeError, match="'hidden_sise'"):
        SequenceModel(7, "lstm", dict(hidden_sise=3))


@pytest.mark.parametrize(
    ("prompt", "arguments", "message"),
    [
        (tokens(length=0), {}, r"shape \(3, 0\)"),
        (tokens()[0], {}, r"shape \(23,\)"),
        (tokens(), dict(length=0), "length"),
        (tokens(), dict(temperature=-1.0), "temperature is -1.0; give 0 or a positive number"),
    ],
)
def test_bad_prompts(prompt: th.Tensor, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make().generate(prompt, **{"length": 2, **arguments})
