"""DCT: the model and its judger learn beside each other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch as th

from memory_agents.memory import tree_leaves
from memory_agents.sequence import DCTTrainer, SequenceBatch, SequenceModel, SequenceTrainer, evaluate
from tests.sequence.judged import SEGMENT, SMALL, VOCABULARY, by_hand, judge_of, judged_model, text

#: Gradients are not clipped.
OPTIONS: dict[str, Any] = dict(m=2.0, a=0.7, ent_coef=0.3, max_grad_norm=1e9)


def co_training(model: SequenceModel, window: int | None = SEGMENT, **kwargs: Any) -> DCTTrainer:
    return DCTTrainer(SequenceTrainer(model, window=window), judged_model(5, warming_up=True), **{**OPTIONS, **kwargs})


def judge_gradients(dct: DCTTrainer) -> list[th.Tensor]:
    return [
        th.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for parameter in judge_of(dct.trainer.model).parameters()
    ]


@pytest.mark.parametrize(
    ("judger", "options", "window", "given"),
    [
        ({}, {}, SEGMENT, text()),
        ({}, dict(baseline="cross_entropy"), SEGMENT, text()),
        ({}, dict(entropy_in_advantage=False), SEGMENT, text()),
        ({}, dict(normalize=True), SEGMENT, text()),
        ({}, dict(reward="batch"), SEGMENT, text()),
        (dict(decisions="batch"), {}, SEGMENT, text()),
        (dict(decisions="batch"), dict(reward="sample"), SEGMENT, text()),
        ({}, {}, SEGMENT, text(scored=0.3)),
        # Blocks that leave anywhere in a window, and episodes that begin there.
        ({}, {}, 7, text(length=60, starts=0.03, scored=0.7)),
        (dict(decisions="batch"), {}, 7, text(length=60, starts=0.03, scored=0.7)),
        ({}, {}, None, text(length=30)),
    ],
)
def test_an_update_is_what_it_is_by_hand(
    judger: dict[str, Any], options: dict[str, Any], window: int | None, given: SequenceBatch
) -> None:
    model = judged_model(**judger)
    dct = co_training(model, window, **options)
    length = given.tokens.shape[1]
    names = ("m", "a", "baseline", "reward", "ent_coef", "entropy_in_advantage", "normalize")
    th.manual_seed(11)
    expected = by_hand(model, dct.evaluator, given, window or length, **{name: getattr(dct, name) for name in names})
    th.manual_seed(11)
    update = dct.update(given)
    assert update.n_decisions == len(expected.rewards) > 5
    assert update.keep_rate == pytest.approx(sum(expected.keeps) / len(expected.keeps))
    assert 0 < sum(expected.keeps) < len(expected.keeps)
    mean_reward, mean_baseline = (sum(x) / len(x) for x in (expected.rewards, expected.baselines))
    assert update.reward == pytest.approx(mean_reward, abs=1e-5)
    assert update.baseline == pytest.approx(mean_baseline, abs=1e-5)
    assert update.advantage == pytest.approx(mean_reward - mean_baseline, abs=1e-5)
    assert update.reading_distance == pytest.approx(expected.distance)
    assert sum(float(gradient.abs().sum()) for gradient in expected.gradients) > 1e-3
    for mine, theirs in zip(judge_gradients(dct), expected.gradients, strict=True):
        th.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-3)


def test_advantages_are_normalized_by_what_was_before() -> None:
    dct = co_training(judged_model(), normalize=True, learning_rate=1e-2)
    names = ("m", "a", "baseline", "reward", "ent_coef", "entropy_in_advantage", "normalize")
    earlier: list[th.Tensor] = []
    for number in range(4):
        given = text(seed=number, length=40)
        given.starts[:, 0] = True
        options = {name: getattr(dct, name) for name in names}
        th.manual_seed(number)
        expected = by_hand(dct.trainer.model, dct.evaluator, given, SEGMENT, **options, earlier=earlier)
        th.manual_seed(number)
        dct.update(given)
        for mine, theirs in zip(judge_gradients(dct), expected.gradients, strict=True):
            th.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
        earlier.append(expected.advantages)
    assert dct.normalized == 4
    shares = th.tensor([0.99**3, 0.99**2, 0.99, 1.0])
    means = th.stack([advantages.mean() for advantages in earlier])
    assert dct.advantage_mean == pytest.approx(float((shares * means).sum() / shares.sum()), abs=1e-5)
    assert isinstance(dct.advantage_mean, float)
    assert isinstance(dct.advantage_square, float)


@pytest.mark.parametrize("reward", ["sample", "batch"])
@pytest.mark.parametrize("decisions", ["sample", "batch"])
@pytest.mark.parametrize("rows", [1, 4])
def test_one_decision_step_in_an_update_teaches(decisions: str, reward: str, rows: int) -> None:
    dct = co_training(judged_model(decisions=decisions), None, normalize=True, reward=reward, ent_coef=0.0)
    given = text(rows=rows, length=16 + 3 * SEGMENT)
    norms: list[float | None] = []
    for part in (SequenceBatch(*(x[:, :16] for x in given)), *SequenceBatch(*(x[:, 16:] for x in given)).windows(4)):
        update = dct.update(part)
        assert update.n_decisions == (rows if len(norms) else 0)
        norms.append(update.grad_norm)
    assert norms[0] is None
    assert all(norm is not None and norm > 1e-3 for norm in norms[1:])


def test_the_reward_is_a_power_of_the_perplexity_of_the_decisions_window() -> None:
    """One row, one decision: block 2 leaves at token 16, when both slots are full."""
    model, given = judged_model(), text(rows=1, length=20)
    dct = co_training(model, window=SEGMENT)
    update = dct.update(given)
    assert update.n_decisions == 1
    with th.no_grad():
        logits, _ = dct.evaluator(given.tokens)
    alone = th.nn.functional.cross_entropy(logits[0, 16:], given.targets[0, 16:])
    assert update.reward == pytest.approx(2.0 * 0.7 ** float(update.model.token_losses[0, 16:].mean().exp()))
    assert update.baseline == pytest.approx(2.0 * 0.7 ** float(alone.exp()), abs=1e-6)


def test_what_the_model_drops_out_is_not_held_against_decisions() -> None:
    found = []
    for dropout in (0.0, 0.5):
        dct = co_training(judged_model(dropout=dropout), None)
        th.manual_seed(7)
        found.append(dct.update(text(length=30)))
        assert dct.trainer.model.training
    assert found[0].model.loss != pytest.approx(found[1].model.loss, abs=1e-2)
    assert found[0].reward == pytest.approx(found[1].reward, abs=1e-5)
    assert found[0].baseline == pytest.approx(found[1].baseline, abs=1e-5)


def test_the_evaluator_carries_its_own_state_over_the_stream() -> None:
    whole = text(length=48)
    baselines = []
    for pieces in (1, 2):
        dct = co_training(judged_model())
        updates = [dct.update(part) for part in whole.windows(48 // pieces)]
        counts = [update.n_decisions for update in updates]
        baselines.append(sum(u.n_decisions * (u.baseline or 0.0) for u in updates) / sum(counts))
        assert not dct.evaluator.training
        assert all(parameter.grad is None for parameter in dct.evaluator.parameters())
        assert all(not leaf.requires_grad for leaf in tree_leaves(dct.state))
    assert baselines[1] == pytest.approx(baselines[0], abs=1e-6)
    assert judge_of(dct.evaluator).warming_up


def test_where_a_stream_begins_anew_the_evaluator_forgets() -> None:
    """However many rows there were before, as the model does."""
    given = text(rows=2, length=24, seed=3)
    given.starts[:, 0] = True
    updates = []
    for before in (None, text(rows=3)):
        dct = co_training(judged_model())
        if before is not None:
            dct.trainer.state = dct.trainer.model(before.tokens)[1]
            dct.state = dct.evaluator(before.tokens)[1]
        th.manual_seed(2)
        updates.append(dct.update(given))
    assert updates[0][1:] == updates[1][1:]


def test_the_evaluator_is_a_copy_of_the_model_unless_given() -> None:
    model = judged_model(warming_up=True)
    model(text().tokens)[0].sum().backward()
    baselines = []
    for evaluator in (None, copy.deepcopy(model)):
        dct = DCTTrainer(SequenceTrainer(copy.deepcopy(model), window=SEGMENT), evaluator)
        th.manual_seed(3)
        baselines.append([dct.update(text(seed=seed)).baseline for seed in range(3)])
        assert judge_of(dct.evaluator).warming_up
        assert not dct.evaluator.training
        assert all(not parameter.requires_grad and parameter.grad is None for parameter in dct.evaluator.parameters())
        for name, part in dct.evaluator.state_dict().items():
            assert th.equal(part, model.state_dict()[name])
    assert baselines[0] == baselines[1]


def test_an_evaluator_of_another_kind() -> None:
    evaluator, given = SequenceModel(VOCABULARY, "lstm", d_embedding=3), text(rows=1, length=20)
    dct = DCTTrainer(SequenceTrainer(judged_model(), window=SEGMENT), evaluator, **OPTIONS)
    update = dct.update(given)
    assert update.n_decisions == 1
    with th.no_grad():
        logits, _ = evaluator(given.tokens)
    alone = th.nn.functional.cross_entropy(logits[0, 16:], given.targets[0, 16:])
    assert update.baseline == pytest.approx(2.0 * 0.7 ** float(alone.exp()), abs=1e-6)


def test_the_judger_learns_from_its_own_gradient_and_the_model_from_its_own() -> None:
    for given, moved in ((text(length=16), False), (text(length=40), True)):
        model, plain = judged_model(), judged_model()
        dct = co_training(model)
        th.manual_seed(4)
        dct.update(given)
        trainer = SequenceTrainer(plain, window=SEGMENT)
        # The same decisions without a judger that learns: the model's gradients are the same.
        th.manual_seed(4)

        def decide(part: SequenceBatch, trainer: SequenceTrainer = trainer) -> None:
            trainer.state, _ = trainer.model.choose(part.tokens, trainer.state, part.starts, deterministic=False)

        trainer.update(given, decide)
        fresh = dict(judged_model().named_parameters())
        for (name, mine), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
            if name.startswith("core.judge."):
                # In the baseline that the paper does not have nothing is learned.
                assert th.equal(theirs, fresh[name])
                assert theirs.grad is None
                assert th.equal(mine, fresh[name]) == (not moved or "baseline" in name)
            else:
                assert th.equal(mine, theirs)
                assert not th.equal(mine, fresh[name]) or mine.grad is None


def test_the_models_optimizer_does_not_have_the_judger() -> None:
    model = judged_model()
    trainer = SequenceTrainer(model, weight_decay=0.1)
    judger = {id(parameter) for parameter in judge_of(model).parameters()}
    assert judger
    assert not judger & {id(parameter) for parameter in trainer.parameters}
    assert len(trainer.parameters) + len(judger) == len(list(model.parameters()))


def test_while_warming_up_the_model_is_the_plain_compressive_transformer() -> None:
    model = judged_model(warming_up=True)
    plain = SequenceModel(VOCABULARY, "compressive", SMALL, d_embedding=5)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("core.judge.")}
    plain.load_state_dict(weights)
    given = text(length=48)
    trainers = [SequenceTrainer(each, window=SEGMENT, learning_rate=1e-2) for each in (model, plain)]
    for part in given.windows(16):
        updates = [trainer.update(part) for trainer in trainers]
        assert th.equal(updates[0].token_losses, updates[1].token_losses)
    for name, value in plain.state_dict().items():
        assert th.equal(value, model.state_dict()[name])
    assert evaluate(model, [given], SEGMENT, deterministic=False) == evaluate(plain, [given], SEGMENT)


def test_the_first_update_ends_the_warm_up() -> None:
    model = judged_model(warming_up=True)
    dct = co_training(model)
    assert judge_of(model).warming_up
    assert dct.update(text()).keep_rate != 1.0
    assert not judge_of(model).warming_up
    assert judge_of(dct.evaluator).warming_up


def test_a_decision_changes_what_its_own_window_sees() -> None:
    model, given = judged_model().eval(), text(rows=2, length=20)
    before, part = given.windows(16)
    _, state = model(before.tokens)
    planned, choices = model.choose(part.tokens, state, deterministic=True)
    assert choices.judged.nonzero()[:, 1].tolist() == [0, 0]
    other = choices._replace(keep=~choices.keep & choices.judged)
    seen, _ = model(part.tokens, planned)
    unseen, _ = model(part.tokens, model.core.with_choices(state, other))
    th.testing.assert_close(seen[:, 0], unseen[:, 0], atol=1e-6, rtol=1e-6)
    assert ((seen - unseen)[:, 1:].abs().amax(dim=2) > 1e-5).all()


def test_the_same_seed_gives_the_same() -> None:
    runs = []
    for _ in range(2):
        model = judged_model(dropout=0.2)
        dct = co_training(model)
        th.manual_seed(8)
        updates = [dct.update(text(seed=seed)) for seed in range(3)]
        runs.append([*(part for update in updates for part in update[1:]), *model.state_dict().values()])
    assert all(th.equal(a, b) if isinstance(a, th.Tensor) else a == b for a, b in zip(*runs, strict=True))


def test_a_saved_co_training_goes_on_to_the_bit(tmp_path: Path) -> None:
    def trained(seed: int) -> DCTTrainer:
        # The evaluator is a copy of the model as it was then, which no argument tells.
        return DCTTrainer(SequenceTrainer(judged_model(seed, warming_up=True), window=SEGMENT), normalize=True)

    one, two = trained(0), trained(1)
    for number in range(3):
        one.update(text(seed=number))
    th.save(one.state_dict(), tmp_path / "dct.pt")
    two.update(text(rows=2, seed=9))
    two.load_state_dict(th.load(tmp_path / "dct.pt", weights_only=True))
    updates = []
    for dct in (one, two):
        th.manual_seed(7)
        updates.append([dct.update(text(seed=number)) for number in range(3, 6)])
    for here, there in zip(*updates, strict=True):
        assert here.advantage is not None
        assert here._replace(model=None) == there._replace(model=None)
        assert here.model.loss == there.model.loss
    for left, right in zip(
        one.trainer.model.state_dict().values(), two.trainer.model.state_dict().values(), strict=True
    ):
        assert th.equal(left, right)


def test_before_the_slots_are_full_there_is_nothing_to_learn_for_the_judger() -> None:
    model = judged_model()
    before = {name: value.clone() for name, value in judge_of(model).state_dict().items()}
    update = co_training(model).update(text(length=16))
    assert update[1:-1] == (0, None, None, None, None, None, None)
    assert update.reading_distance == pytest.approx(7.5)
    assert all(th.equal(value, before[name]) for name, value in judge_of(model).state_dict().items())


def test_the_gradient_is_clipped() -> None:
    dct = co_training(judged_model(), max_grad_norm=1e-3)
    norm = dct.update(text()).grad_norm
    assert norm is not None
    assert norm > 2e-3
    assert float(th.stack([g.norm() for g in judge_gradients(dct)]).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_the_learning_rate_is_that_of_the_judgers_adam() -> None:
    """The first step of Adam is the learning rate, wherever there is a gradient."""
    model = judged_model()
    before = [parameter.clone() for parameter in judge_of(model).parameters()]
    dct = co_training(model, learning_rate=0.01)
    dct.update(text())
    steps = [
        (new.detach() - old.detach()).abs().max() for new, old in zip(judge_of(model).parameters(), before, strict=True)
    ]
    assert float(th.stack(steps).max()) == pytest.approx(0.01, rel=1e-2)


def test_mixed_precision_is_the_trainers() -> None:
    model = judged_model()
    trainer = SequenceTrainer(model, window=SEGMENT, autocast="bfloat16")
    dct = DCTTrainer(trainer, judged_model(5, warming_up=True), **OPTIONS)
    exact = co_training(judged_model())
    for seed in (1, 1):
        th.manual_seed(seed)
        coarse, fine = dct.update(text()), exact.update(text())
    assert coarse.n_decisions == fine.n_decisions
    assert coarse.baseline == pytest.approx(fine.baseline, abs=0.05)
    assert coarse.baseline != fine.baseline


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(m=0.0), r"m is 0\.0; give a positive number"),
        (dict(a=1.0), r"a is 1\.0; give a number between 0 and 1, neither of them"),
        (dict(a="1"), r"a is '1'; give a number between 0 and 1"),
        (dict(baseline="mean"), r"baseline must be one of 'transformed', 'cross_entropy', got 'mean'"),
        (dict(reward="all"), r"reward must be one of 'sample', 'batch' or None, got 'all'"),
        (dict(learning_rate=-1.0), r"learning_rate is -1\.0; give a positive number"),
        (dict(ent_coef=-0.1), r"ent_coef is -0\.1; give a number of at least 0"),
        (dict(entropy_in_advantage="no"), r"entropy_in_advantage must be True or False, got 'no'"),
        (dict(normalize=1), r"normalize must be True or False, got 1"),
        (dict(max_grad_norm=0), r"max_grad_norm is 0; give a positive number"),
    ],
)
def test_bad_arguments_name_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        co_training(judged_model(), **kwargs)


@pytest.mark.parametrize("memory", [dict(), dict(judger="keep")])
def test_a_model_without_a_judger_that_learns_names_the_mend(memory: dict[str, Any]) -> None:
    model = SequenceModel(VOCABULARY, "compressive", {**SMALL, **memory})
    with pytest.raises(ValueError, match=r"the model has no judger that learns; build it .*judger=True"):
        DCTTrainer(SequenceTrainer(model), copy.deepcopy(model))
    with pytest.raises(ValueError, match=r"the model has no judger that learns"):
        DCTTrainer(SequenceTrainer(SequenceModel(VOCABULARY, "lstm")), model)


def test_an_evaluator_that_does_not_fit_names_the_mend() -> None:
    model = judged_model()
    with pytest.raises(
        ValueError, match=r"evaluator shares parameters with the model, .* give copy\.deepcopy\(model\)"
    ):
        DCTTrainer(SequenceTrainer(model), model)
    with pytest.raises(ValueError, match=r"evaluator has vocabulary_size=9, the model 7; give one that foretells the"):
        DCTTrainer(SequenceTrainer(model), SequenceModel(9, "lstm"))


@pytest.mark.parametrize("decisions", ["sample", "batch"])
def test_a_device_computes_what_the_cpu_computes(
    decisions: str, device: th.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for place in (th.device("cpu"), device):
        model = judged_model(decisions=decisions).to(place)
        # Draws of devices differ.
        monkeypatch.setattr(model, "choose", partial(_likelier, model.choose))
        dct = co_training(model, normalize=True)
        update = dct.update(text())
        gradients = [th.zeros(()) if x.grad is None else x.grad.cpu() for x in model.parameters()]
        numbers = [update.model.loss, update.reward, update.baseline, update.advantage, update.reading_distance]
        found.append(([update.model.token_losses.cpu(), *gradients], numbers, update[1:3]))
    th.testing.assert_close(found[1][0], found[0][0], atol=1e-3, rtol=1e-3)
    assert found[1][1] == pytest.approx(found[0][1], abs=1e-4)
    assert found[1][2] == found[0][2]


def _likelier(choose: Callable[..., Any], *args: Any, deterministic: bool) -> Any:
    assert not deterministic
    return choose(*args, deterministic=True)
