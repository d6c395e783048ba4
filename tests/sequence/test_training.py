"""Truncated backpropagation through time."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch as th

from memory_agents.memory import tree_leaves
from memory_agents.sequence import SequenceBatch, SequenceModel, SequenceTrainer, evaluate
from tests.sequence.test_model import EVERY_CORE, KWARGS, make, tokens


def batch(length: int = 24, starts: bool = False, seed: int = 1) -> SequenceBatch:
    drawn = th.randint(7, (4, length + 1), generator=th.Generator().manual_seed(seed))
    begins = th.zeros(4, length, dtype=th.bool)
    begins[:, 0] = starts
    return SequenceBatch(drawn[:, :-1], drawn[:, 1:], th.ones(4, length, dtype=th.bool), begins)


def gradients(model: SequenceModel, trainer: SequenceTrainer, given: SequenceBatch) -> list[th.Tensor]:
    trainer.update(given)
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_loss_is_the_mean_over_what_is_scored() -> None:
    model, given = make(), batch()
    scored = given.scored.clone()
    scored[:, :20] = False
    given = given._replace(scored=scored)
    logits, _ = model(given.tokens)
    expected = th.nn.functional.cross_entropy(logits[:, 20:].flatten(0, 1), given.targets[:, 20:].flatten())
    update = SequenceTrainer(model, window=5).update(given)
    assert update.loss == pytest.approx(float(expected.detach()), abs=1e-6)
    assert update.token_losses.shape == (4, 24)
    assert (update.token_losses[:, :20] == 0).all()
    assert update.core_loss is None


def test_windows_cut_gradients_and_nothing_else() -> None:
    losses, found = [], []
    for window in (None, 24, 6):
        model = make()
        trainer = SequenceTrainer(model, window=window, max_grad_norm=None)
        update = trainer.update(batch())
        losses.append(update.loss)
        found.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-6)
    for whole, same in zip(found[0], found[1], strict=True):
        assert th.equal(whole, same)
    assert any(not th.allclose(whole, cut, atol=1e-6) for whole, cut in zip(found[0], found[2], strict=True))


def test_the_gradient_is_that_of_the_mean_loss() -> None:
    model, given = make("lstm"), batch()
    logits, _ = model(given.tokens)
    loss = th.nn.functional.cross_entropy(logits.flatten(0, 1), given.targets.flatten())
    expected = th.autograd.grad(loss, list(model.parameters()))
    found = gradients(model, SequenceTrainer(model, max_grad_norm=None), given)
    for one, other in zip(expected, found, strict=True):
        th.testing.assert_close(one, other, atol=1e-7, rtol=1e-4)


def test_the_state_is_carried_until_a_batch_begins_anew() -> None:
    first, second = batch(seed=1), batch(seed=2)

    def second_loss(given: SequenceBatch) -> float:
        trainer = SequenceTrainer(make(), learning_rate=1e-12)
        trainer.update(first)
        return trainer.update(given).loss

    both = SequenceBatch(*(th.cat(parts, dim=1) for parts in zip(first, second, strict=True)))
    carried = evaluate(make(), [both]).loss * 2 - evaluate(make(), [first]).loss
    assert second_loss(second) == pytest.approx(carried, abs=1e-5)
    anew = second._replace(starts=batch(starts=True).starts)
    assert second_loss(anew) == pytest.approx(evaluate(make(), [anew]).loss, abs=1e-5)
    assert second_loss(second) != pytest.approx(second_loss(anew), abs=1e-6)


def test_a_batch_that_begins_anew_may_have_another_size() -> None:
    trainer, small = SequenceTrainer(make()), batch(starts=True)
    trainer.update(batch())
    trainer.update(SequenceBatch(*(part[:2] for part in small)))
    score = evaluate(make(), [small, SequenceBatch(*(part[:2] for part in small))])
    assert score.n_tokens == 6 * 24


@EVERY_CORE
def test_a_saved_training_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    def training(seed: int) -> SequenceTrainer:
        return SequenceTrainer(make(name, seed), window=6, warmup=2, decay="cosine", total=8, weight_decay=0.1)

    whole, other = training(0), training(1)
    for number in range(3):
        whole.update(batch(seed=number))
    th.save(whole.state_dict(), tmp_path / "trainer.pt")
    other.update(batch(length=5, seed=9))
    other.load_state_dict(th.load(tmp_path / "trainer.pt", weights_only=True))
    assert other.updates == 3
    for number in range(3, 8):
        one, two = (trainer.update(batch(seed=number)) for trainer in (whole, other))
        assert one.loss == two.loss
        assert one.grad_norm == two.grad_norm
    for here, there in zip(whole.model.parameters(), other.model.parameters(), strict=True):
        assert th.equal(here, there)


def test_the_state_of_another_memory_is_refused() -> None:
    model = make()
    _, state = model(batch().tokens)
    leaves = model.state_leaves(state)
    assert leaves is not None
    assert model.state_leaves(None) is model.state_from(None) is None
    with pytest.raises(ValueError, match=f"{len(leaves) - 1} tensors are given for a state of {len(leaves)}"):
        model.state_from(leaves[1:])


def test_warm_up_and_decay() -> None:
    trainer = SequenceTrainer(make(), warmup=4, total=10, decay="cosine", final=0.1)
    rates = [trainer.learning_rate_at(update) for update in range(12)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[7] == pytest.approx(0.55)
    assert rates[10:] == pytest.approx([0.1, 0.1])
    assert [SequenceTrainer(make(), warmup=2).learning_rate_at(update) for update in range(4)] == [0.5, 1, 1, 1]
    used = []
    for _ in range(5):
        used.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.update(batch(starts=True))
    assert used == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])


def test_the_gradient_is_clipped() -> None:
    free, bound = make(), make()
    norm = SequenceTrainer(free, max_grad_norm=None).update(batch()).grad_norm
    assert SequenceTrainer(bound, max_grad_norm=norm / 10).update(batch()).grad_norm == pytest.approx(norm)
    total = math.sqrt(sum(float((p.grad**2).sum()) for p in bound.parameters() if p.grad is not None))
    assert total == pytest.approx(norm / 10, rel=1e-4)


@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_a_gradient_that_overflows_changes_nothing(max_grad_norm: float | None) -> None:
    model = make()
    trainer = SequenceTrainer(model, max_grad_norm=max_grad_norm)
    trainer.update(batch())
    before = copy.deepcopy(model.state_dict())
    handle = model.head.weight.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[no-untyped-call]
    assert not math.isfinite(trainer.update(batch()).grad_norm)
    assert all(map(th.equal, before.values(), model.state_dict().values()))
    handle.remove()
    assert math.isfinite(trainer.update(batch()).grad_norm)
    assert not all(map(th.equal, before.values(), model.state_dict().values()))


def test_weight_decay_shrinks() -> None:
    norms = []
    for decay in (0.0, 10.0):
        model = make()
        SequenceTrainer(model, weight_decay=decay, learning_rate=1e-2).update(batch())
        norms.append(float(model.head.weight.detach().norm()))
    assert norms[1] < 0.95 * norms[0]


def test_autocast_rounds_products_and_not_losses() -> None:
    exact, rounded = make(), make()
    losses = [
        SequenceTrainer(model, autocast=autocast).update(batch())
        for model, autocast in ((exact, None), (rounded, "bfloat16"))
    ]
    assert losses[1].token_losses.dtype == th.float32
    assert losses[0].loss != losses[1].loss
    assert losses[0].loss == pytest.approx(losses[1].loss, abs=0.02)
    assert all(p.dtype == th.float32 for p in rounded.parameters())


def test_the_cores_own_loss_is_minimised() -> None:
    kwargs = {**KWARGS["compressive"], "compression_loss": "autoencoding"}
    th.manual_seed(0)
    model = SequenceModel(7, "compressive", kwargs)
    for name, parameter in model.named_parameters():
        # Everything else stays, and with it what is compressed.
        parameter.requires_grad_("compression" in name)
    trainer = SequenceTrainer(model, window=8, learning_rate=1e-2)
    losses = [trainer.update(batch(starts=True)).core_loss for _ in range(60)]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.7 * losses[0]


def test_two_trainings_with_the_same_seed_are_the_same() -> None:
    def weights() -> list[th.Tensor]:
        model = make("rmt")
        trainer = SequenceTrainer(model, window=7)
        for seed in range(3):
            trainer.update(batch(seed=seed))
        return list(model.parameters())

    assert all(th.equal(one, other) for one, other in zip(weights(), weights(), strict=True))


@EVERY_CORE
def test_every_core_learns_in_half_precision_or_says_that_it_cannot(name: str) -> None:
    model = make(name)
    trainer = SequenceTrainer(model, window=8, autocast="bfloat16")
    try:
        losses = [trainer.update(batch(seed=seed)).loss for seed in range(3)]
    except RuntimeError as error:
        losses, complaint = [], str(error)
    else:
        complaint = "use autocast=None"
    assert "use autocast=None" in complaint
    assert all(map(math.isfinite, losses))
    assert all(leaf.dtype in (th.float32, th.int64, th.bool) for leaf in tree_leaves(trainer.state))


@EVERY_CORE
def test_a_device_learns_scores_and_generates_as_the_cpu(name: str, device: th.device) -> None:
    found = []
    for place in (th.device("cpu"), device):
        model = make(name).to(place)
        trainer = SequenceTrainer(model, window=8)
        losses = [trainer.update(batch(seed=seed)).loss for seed in range(3)]
        added = model.generate(tokens().to(place), 4, temperature=0)
        found.append(([*losses, evaluate(model, [batch()], 7).loss], added.cpu()))
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-3)
    assert th.equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(window=0), "window"),
        (dict(warmup=-1), "warmup"),
        (dict(decay="linear"), "decay must be one of 'constant', 'cosine'"),
        (dict(decay="cosine"), "needs a total above warmup=0"),
        (dict(decay="cosine", total=5, warmup=5), "needs a total above warmup=5"),
        (dict(final=2.0, decay="cosine", total=5), "final is 2.0"),
        (dict(final=0.5), "say how a decay ends; use decay='cosine'"),
        (dict(total=9), "say how a decay ends; use decay='cosine'"),
        (dict(learning_rate=0.0), "learning_rate is 0.0; give a positive number"),
        (dict(max_grad_norm=-1.0), "max_grad_norm is -1.0"),
        (dict(weight_decay=-1.0), "weight_decay is -1.0"),
        (dict(autocast="float16"), "autocast must be one of"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceTrainer(make(), **arguments)


def test_nothing_scored() -> None:
    empty = batch()._replace(scored=th.zeros(4, 24, dtype=th.bool))
    with pytest.raises(ValueError, match="nothing in the batch is scored"):
        SequenceTrainer(make()).update(empty)
    with pytest.raises(ValueError, match="nothing in the batches is scored"):
        evaluate(make(), [empty])


def test_score() -> None:
    class Successor(SequenceModel):
        """Sure that the next token is one more."""

        def forward(self, tokens: th.Tensor, state: Any = None, starts: Any = None) -> tuple[th.Tensor, Any]:
            return 50.0 * th.nn.functional.one_hot((tokens + 1) % 7, 7).float(), None

    read = th.tensor([[0, 1, 2, 3], [3, 4, 5, 6]])
    targets = th.tensor([[1, 2, 3, 4], [4, 5, 0, 0]])
    scored = th.tensor([[True, True, True, True], [False, True, True, True]])
    given = SequenceBatch(read, targets, scored, th.zeros_like(scored))
    score = evaluate(Successor(7), [given], window=3)
    assert score.accuracy == pytest.approx(6 / 7)
    assert (score.exact, score.n_tokens) == (0.5, 7)
    assert score.loss == pytest.approx(50 / 7, rel=1e-3)
    assert score.bits == pytest.approx(50 / 7 / math.log(2), rel=1e-3)
    # A row in which nothing is scored is neither right nor wrong.
    scored[0] = False
    assert evaluate(Successor(7), [given._replace(scored=scored)]).exact == 0.0


def test_evaluation_leaves_the_mode_as_it_was() -> None:
    model = make(dropout=0.5)
    assert evaluate(model, [batch()]).loss == evaluate(model, [batch()]).loss
    assert model.training
    with pytest.raises(ValueError, match="tokens go from"):
        evaluate(model, [batch()._replace(tokens=th.full((4, 24), 99))])
    assert model.training
