"""Character models: the memories that are compared, and what their runs compute."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.sequence.characters import (
    AGENTS,
    DCT_DEFAULTS,
    PAPER_SIZE,
    CharacterConfig,
    make_model,
)
from memory_agents.benchmarks.sequence.characters_experiment import CoTraining, Experiment
from memory_agents.benchmarks.sequence.characters_files import load_evaluator, write_reading
from memory_agents.benchmarks.sequence.characters_run import check_run, measure, run_one
from memory_agents.benchmarks.sequence.checkpoint import CHECKPOINT_FILE
from memory_agents.memory.compressive import CompressiveMemory
from memory_agents.sequence import DCTTrainer, ReadingRecord, SequenceBatch, SequenceModel, evaluate
from memory_agents.sequence.lanes import evaluation_batches
from memory_agents.sequence.text import Corpus, make_corpus
from memory_agents.sequence.training import cross_entropy
from tests.benchmarks.sequence.characters import periodic_text, tiny, tiny_corpus
from tests.benchmarks.sequence.killing import kill_at


def outcome(config: CharacterConfig, folder: Path, corpus: Corpus) -> tuple[str, dict[str, Any]]:
    """Curve and score of a run, without what it took."""
    run_one(config, corpus, folder, lambda line: None)
    score = json.loads((folder / config.name / "score.json").read_text())
    assert score.pop("train_cpu_seconds") > 0
    assert score.pop("train_seconds") > 0
    return (folder / config.name / "curve.csv").read_text(), score


def judger_of(folder: Path) -> dict[str, th.Tensor]:
    """Weights of a run's judger."""
    weights = th.load(folder / "weights.pt", weights_only=True)["weights"]
    return {name: part for name, part in weights.items() if name.startswith("core.judge.")}


def core_of(model: SequenceModel) -> CompressiveMemory:
    assert isinstance(model.core, CompressiveMemory)
    return model.core


def test_all_have_as_many_parameters() -> None:
    sizes = {}
    for name in AGENTS:
        model = make_model(CharacterConfig(name))
        judges = sum(parameter.numel() for parameter in model.core.judge_parameters())
        assert bool(judges) == (name == "dct")
        sizes[name] = sum(parameter.numel() for parameter in model.parameters()) - judges
    assert len({size for name, size in sizes.items() if name not in ("none", "recent", "narrow", "xl")}) == 1
    # A wider MLP stands for the convolution, as exactly as biases let it.
    assert sizes["none"] == sizes["recent"] == sizes["xl"] == pytest.approx(sizes["compressive"], rel=1e-3)


def test_narrow_is_compressive_without_slots() -> None:
    narrow, compressive = (make_model(CharacterConfig(name)) for name in ("narrow", "compressive"))
    lengths = core_of(compressive).shapes[0]
    for shape in core_of(narrow).shapes:
        assert (shape.memory_length, shape.block_length) == (lengths.memory_length, lengths.block_length)
        assert shape.compressed_length == 0
    theirs = {name: part.shape for name, part in compressive.named_parameters() if ".compressions." not in name}
    found = {name: part.shape for name, part in narrow.named_parameters()}
    assert found.keys() == theirs.keys()
    # But for the positions of slots.
    assert {name for name, shape in found.items() if shape != theirs[name]} <= {
        name for name in found if "position" in name
    }


def test_as_many_keys_are_attended_to() -> None:
    means, recent = {}, {}
    for name in ("recent", "xl", "compressive"):
        config = tiny(name, compressed_length=12, memory_length=16)
        core = core_of(make_model(config))
        state = core.initial_state(1)
        never = th.zeros(1, dtype=th.bool)
        keys, recents = [], []
        for step in range(20 * config.segment):
            x = th.randn(1, config.d_model)
            if step >= 16 * config.segment:
                (reading,) = core.attention(x, state, never)
                recents.append(int((reading.recent > 0).sum()))
                keys.append(recents[-1] + int((reading.slots > 0).sum()))
            _, state = core.step_(x, state, never)
        means[name], recent[name] = sum(keys) / len(keys), recents
    assert means["xl"] == pytest.approx(means["compressive"], abs=1)
    assert recent["recent"] == recent["compressive"]


@pytest.mark.parametrize("name", list(AGENTS))
def test_the_score_does_not_depend_on_windows(name: str) -> None:
    config = tiny(name, cotrain_updates=3, compressed_length=8)
    corpus = tiny_corpus(6000)
    experiment = CoTraining(config, corpus, make_model(config.pretraining).state_dict())
    for _, batch in zip(range(6), experiment.batches(0), strict=False):
        experiment.learner.update(batch)
    text = corpus.test
    batches = list(map(experiment._seen, evaluation_batches(text, 2, config.segment)))
    whole = SequenceBatch(*(th.cat(parts, dim=1) for parts in zip(*batches, strict=True)))
    scores = []
    for window in (None, 7, 64):
        th.manual_seed(0)
        scores.append(evaluate(experiment.model, [whole], window).bits)
    th.manual_seed(0)
    scores.append(evaluate(experiment.model, batches).bits)
    assert scores == pytest.approx([scores[0]] * 4, abs=1e-5)
    assert evaluate(experiment.model, [whole]).n_tokens == len(text)


def test_only_memory_sees_beyond_the_segment() -> None:
    corpus, segment = tiny_corpus(), 8
    (batch,) = evaluation_batches(corpus.train[:64], 1, 64)
    changed = batch._replace(tokens=batch.tokens.clone())
    changed.tokens[0, 17] += 1
    for name in AGENTS:
        experiment = Experiment(tiny(name), corpus)
        logits = []
        for each in (batch, changed):
            state, parts = None, []
            for part in each.windows(segment):
                part = experiment._seen(part._replace(starts=part.starts.clone()))
                th.manual_seed(0)
                some, state = experiment.model(part.tokens, state, part.starts)
                parts.append(some)
            logits.append(th.cat(parts, dim=1)[0])
        differs = (logits[0] - logits[1]).abs().amax(dim=1) > 1e-6
        assert not differs[:17].any()
        assert differs[17:24].all()
        assert bool(differs[24:32].any()) == (name != "none")


def test_training_knows_nothing_of_what_it_is_judged_by(tmp_path: Path) -> None:
    text = periodic_text(2000)
    config = tiny("dct")
    results = []
    for number, ending in enumerate((text[1800:], text[1800:][::-1])):
        corpus = make_corpus("text", text[:1800] + ending)
        outcome(config, tmp_path / str(number), corpus)
        results.append(th.load(tmp_path / str(number) / config.name / "weights.pt")["weights"])
    assert results[0].keys() == results[1].keys()
    assert all(th.equal(results[0][name], results[1][name]) for name in results[0])


@pytest.mark.parametrize("name", ["xl", "random", "dct"])
def test_runs_repeat_to_the_bit(name: str, tmp_path: Path) -> None:
    corpus = tiny_corpus()
    results = []
    for number in range(2):
        th.manual_seed(number)
        results.append(outcome(tiny(name), tmp_path / str(number), corpus))
    assert results[0] == results[1]
    assert outcome(tiny(name, seed=1), tmp_path, corpus)[0] != results[0][0]


@pytest.mark.parametrize("name", ["xl", "random", "dct"])
def test_a_killed_run_goes_on_to_the_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, config = tiny_corpus(), tiny(name, pretrain_updates=6, cotrain_updates=8, validate_every=3)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = outcome(config, whole, corpus)
    begun = kill_at({4, 12, 15}, monkeypatch)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_one(config, corpus, killed, lambda line: None)
    assert outcome(config, killed, corpus) == expected
    # Every time from the latest look on, which is after three updates of either part.
    assert begun == [*range(5), *range(3, 6), *range(5), *range(3, 6), *range(3, 8)]
    for part in (config.name, config.pretraining.name):
        assert not (killed / part / CHECKPOINT_FILE).exists()
        left, right = (
            th.load(folder / part / "weights.pt", weights_only=True)["weights"] for folder in (whole, killed)
        )
        assert all(th.equal(tensor, right[key]) for key, tensor in left.items())


def test_keeping_everything_is_the_compressive_transformer(tmp_path: Path) -> None:
    corpus = tiny_corpus()
    _, plain = outcome(tiny("compressive"), tmp_path, corpus)
    _, keep = outcome(tiny("keep"), tmp_path, corpus)
    _, always = outcome(tiny("random", random_probability=1.0), tmp_path, corpus)
    _, discard = outcome(tiny("discard"), tmp_path, corpus)
    assert keep["test_bits"] == always["test_bits"] == pytest.approx(plain["test_bits"], abs=1e-4)
    assert discard["test_bits"] != pytest.approx(plain["test_bits"], abs=1e-4)
    assert (keep["keep_rate"], discard["keep_rate"], always["keep_rate_drawn"]) == (1.0, 0.0, 1.0)
    assert "keep_rate" not in plain


#: For every argument that changes what is learned or how it is tested, another value, and the agent to try it with.
OTHERS: dict[str, tuple[str, Any]] = {
    "compression": ("compressive", "max"),
    "n_layers": ("xl", 2),
    "d_model": ("xl", 24),
    "n_heads": ("xl", 4),
    "d_feedforward": ("xl", 48),
    "norm": ("xl", "pre"),
    "dropout": ("xl", 0.3),
    "segment": ("xl", 4),
    "memory_length": ("compressive", 16),
    "compressed_length": ("compressive", 6),
    "compression_rate": ("compressive", 2),
    "batch_size": ("xl", 4),
    "pretrain_updates": ("xl", 6),
    "learning_rate": ("xl", 1e-3),
    "warmup": ("xl", 3),
    "max_grad_norm": ("xl", 0.01),
    "test_lanes": ("xl", 2),
    "seed": ("xl", 1),
    "autocast": ("xl", "bfloat16"),
    "cotrain_updates": ("xl", 7),
    "cotrain_learning_rate": ("xl", 1e-4),
    "random_probability": ("random", 0.1),
    "judger_kwargs": ("dct", {"pooling": "mean"}),
    "dct_kwargs": ("dct", {"learning_rate": 0.1}),
}
#: The same for those that change the learning curve alone.
LOOKS: dict[str, Any] = {"validate_every": 2, "validation_bytes": 80}


def test_every_argument_has_an_effect(tmp_path: Path) -> None:
    # Which text is read is the corpus's, where it is computed changes nothing, and the evaluator has a test of its own.
    elsewhere = {"agent", "data", "max_bytes", "device", "evaluator"}
    assert {field.name for field in fields(CharacterConfig)} == {*OTHERS, *LOOKS, *elsewhere}
    corpus = tiny_corpus()

    base = {name: outcome(tiny(name), tmp_path / "base", corpus) for name in ("xl", "compressive", "random", "dct")}
    for option, (agent, value) in OTHERS.items():
        config = tiny(agent, **{option: value})
        assert config != tiny(agent), option
        _, score = outcome(config, tmp_path / option, corpus)
        if agent == "dct":
            # So few decisions may well be the same.
            ours, theirs = (judger_of(tmp_path / name / config.name) for name in (option, "base"))
            assert any(not th.equal(part, theirs[name]) for name, part in ours.items() if name in theirs), option
        else:
            assert score["test_bits"] != base[agent][1]["test_bits"], option
    for option, value in LOOKS.items():
        curve, score = outcome(tiny("xl", **{option: value}), tmp_path / option, corpus)
        assert score == base["xl"][1]
        assert curve != base["xl"][0]


def test_the_test_does_not_depend_on_the_readers_of_training() -> None:
    corpus, bits = tiny_corpus(), {}
    for batch_size in (3, 5):
        for lanes in (1, 4):
            config = tiny("xl", batch_size=batch_size, test_lanes=lanes)
            bits[batch_size, lanes] = Experiment(config, corpus).score(corpus.test).bits
    assert bits[3, 1] == bits[5, 1] != bits[3, 4] == bits[5, 4]


def test_tokens_after_the_texts_end_are_not_measured(tmp_path: Path) -> None:
    """97 characters: 13 windows, the last of one character, in 4 lanes of 4 windows; the last lane has one of these."""
    config, corpus = tiny("random", test_lanes=4, compressed_length=2), tiny_corpus(1921)
    score = measure(CoTraining(config, corpus, make_model(config.pretraining).state_dict()), tmp_path)
    batches = list(evaluation_batches(corpus.test, 4, config.segment))
    scored = th.cat([batch.scored for batch in batches], dim=1)
    assert scored.sum(dim=1).tolist() == [32, 32, 32, 1]
    record = ReadingRecord()
    experiment = CoTraining(config, corpus, make_model(config.pretraining).state_dict())
    experiment.score(corpus.test, record=record)
    distances = [record.reading_distance[lane, :end] for lane, end in enumerate((32, 32, 32, 1))]
    judged = record.choices.judged[:3].sum()
    assert int(record.choices.judged[3].sum()) > 0
    assert score["reading_distance"] == pytest.approx(float(th.cat(distances).double().mean()))
    assert score["reading_distance"] != pytest.approx(float(record.reading_distance.double().mean()))
    kept = (record.choices.keep & record.choices.judged)[:3].sum()
    assert score["keep_rate"] == pytest.approx(float(kept / judged))
    rows = (tmp_path / "reading.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["8", "16", "24", "32"]
    for row in rows:
        token, distance, _ = row.split(",")
        assert float(distance) == pytest.approx(float(record.reading_distance[:3, int(token) - 1].double().mean()))


def test_segments_that_no_lane_ends_are_not_drawn(tmp_path: Path) -> None:
    scored = th.tensor([[True, True, True, False]])
    write_reading(tmp_path / "reading.csv", 2, scored, {"far": th.arange(4)[None]})
    assert (tmp_path / "reading.csv").read_text() == "token,far\n2,1.0\n"


def test_dct_is_compared_with_another_run(tmp_path: Path) -> None:
    corpus = tiny_corpus()
    # Perplexities are large at first: their powers shall not all be 0.
    settings: dict[str, Any] = dict(dct_kwargs={"a": 0.99, "learning_rate": 1e-2})
    outcome(tiny("dct", **settings), tmp_path, corpus)
    own = judger_of(tmp_path / tiny("dct").name)
    for name in ("xl", "none", "dct"):
        outcome(tiny(name, seed=5), tmp_path / "others", corpus)
        theirs = tiny(name, seed=5)
        config = tiny("dct", evaluator=str(tmp_path / "others" / theirs.name), **settings)
        outcome(config, tmp_path / name, corpus)
        judger = judger_of(tmp_path / name / config.name)
        assert not all(th.equal(part, own[key]) for key, part in judger.items())
        described = json.loads((tmp_path / name / config.name / "config.json").read_text())
        digest = hashlib.sha256((tmp_path / "others" / theirs.name / "weights.pt").read_bytes()).hexdigest()
        assert described["evaluator"] == digest

        # It foretells what it foretold on its own.
        evaluator = load_evaluator(config)
        assert evaluator is not None
        experiment = CoTraining(config, corpus, make_model(config.pretraining).state_dict())
        assert isinstance(experiment.learner, DCTTrainer)
        alone = Experiment(theirs, corpus)
        alone.model.load_state_dict(evaluator.state_dict())
        state = None
        for _, batch in zip(range(5), alone.batches(0), strict=False):
            (expected,) = (alone.model(batch.tokens, state, batch.starts),)
            state = expected[1]
            losses = experiment.learner._evaluator_losses(batch)
            th.testing.assert_close(losses, cross_entropy(expected[0], batch))
    assert tiny("xl", evaluator="nowhere").pretraining == tiny("xl").pretraining
    forgetful = str(tmp_path / "others" / tiny("none", seed=5).name)
    length = tiny("none").segment
    with pytest.raises(UsageError, match=f"forgets at every segment, of {length} tokens; use --segment {length}, or"):
        load_evaluator(tiny("dct", evaluator=forgetful, segment=2 * length, memory_length=2 * length))


def test_arguments_that_do_not_concern_an_agent_are_left_out() -> None:
    settings = dict(compression="max", random_probability=0.1, judger_kwargs={"hidden_size": 8}, dct_kwargs={"a": 0.5})
    assert tiny("xl", **settings) == tiny("xl")
    assert tiny("compressive", **settings) == tiny("compressive", compression="max")
    assert tiny("random", **settings) == tiny("random", compression="max", random_probability=0.1)
    assert tiny("dct", **settings).dct_kwargs == {"a": 0.5}


def test_those_who_share_a_pre_training_differ_in_the_judge_alone() -> None:
    shared = {tiny(name).pretraining for name in ("compressive", "keep", "discard", "random", "dct")}
    assert len(shared) == 1
    assert tiny("xl").pretraining not in shared
    assert tiny("compressive", compression="mean").pretraining not in shared


def test_sizes_name_all_that_dct_has_defaults_for() -> None:
    """Or a recorded command, which is read with the small size's defaults, would not repeat the run."""
    assert PAPER_SIZE["dct_kwargs"].keys() >= DCT_DEFAULTS.keys()


def test_the_papers_size_can_be_made() -> None:
    for name in AGENTS:
        config = CharacterConfig.of(name, PAPER_SIZE)
        with th.device("meta"):
            model = make_model(config)
        if name not in ("none", "recent", "narrow", "xl"):
            (shape,) = set(core_of(model).shapes)
            assert (len(core_of(model).shapes), shape.block_length, shape.compressed_length) == (8, 128, 64)
            assert shape.memory_length == 128 + 128


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("agent", "xll", ["--agents 'xll'", "xl"]),
        ("compression", "mex", ["--compression 'mex'", "max"]),
        ("compression", "max+", ["--compression '' is unknown; use max, max+autoencoding, max+attention"]),
        ("compression", "max+autocoding", ["--compression 'autocoding'", "autoencoding"]),
        ("memory_length", 12, ["--memory-length 12", "--segment 8", "use --memory-length"]),
        ("pretrain_updates", 0, ["--pretrain-updates 0", "1 or more"]),
        ("cotrain_updates", 0, ["--cotrain-updates 0", "1 or more"]),
        ("compressed_length", 0, ["--compressed-length 0", "1 or more"]),
        ("validation_bytes", 0, ["--validation-bytes 0"]),
        ("test_lanes", 0, ["--test-lanes 0", "1 or more"]),
        ("warmup", 4, ["--warmup 4 leaves nothing of --pretrain-updates 4; lower --warmup"]),
        ("cotrain_updates", 1, ["--warmup 1 leaves nothing of --cotrain-updates 1; lower --warmup"]),
        ("judger_kwargs", {"kind": "random"}, ["--judger-kwargs kind=random", "--agents random,keep,discard"]),
        ("judger_kwargs", {"warming_up": True}, ["--judger-kwargs warming_up=true has no effect", "leave it out"]),
        ("random_probability", 1.5, ["--random-probability 1.5", "0 to 1"]),
        ("random_probability", math.nan, ["--random-probability nan", "0 to 1"]),
        ("seed", -1, ["--seeds -1"]),
        ("device", "tpu9", ["--device 'tpu9'"]),
        ("autocast", "half", ["--autocast 'half'", "bfloat16"]),
    ],
)
def test_bad_arguments(option: str, value: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        replace(tiny("compressive"), **{option: value})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("agent", "settings", "words"),
    [
        ("xl", {"d_model": 15}, ["--agents 'xl'", "n_heads"]),
        ("xl", {"norm": "sideways"}, ["norm", "sideways"]),
        ("compressive", {"compressed_length": 1}, ["compressed_length=1"]),
        ("compressive", {"compression": "max+attention"}, ["no parameters", "convolution"]),
        ("xl", {"learning_rate": 0.0}, ["learning_rate is 0.0"]),
        ("xl", {"cotrain_learning_rate": math.nan}, ["learning_rate is nan"]),
        ("xl", {"batch_size": 300}, ["batch_size", "longer text"]),
        ("dct", {"dct_kwargs": {"a": 2.0}}, ["--dct-kwargs", "a is 2.0"]),
        ("dct", {"dct_kwargs": {"b": 2.0}}, ["--dct-kwargs", "'b'"]),
        ("dct", {"evaluator": "nowhere"}, ["--evaluator 'nowhere' holds no score.json", "finished run"]),
        ("dct", {"judger_kwargs": {"hidden": 2}}, ["hidden", "hidden_size"]),
    ],
)
def test_arguments_that_do_not_fit(agent: str, settings: dict[str, Any], words: list[str]) -> None:
    config = tiny(agent, **settings)
    with pytest.raises(UsageError) as caught:
        check_run(config, tiny_corpus())
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("agent", ["xl", "dct"])
def test_a_text_whose_test_part_is_no_segment_long_is_refused(agent: str, tmp_path: Path) -> None:
    """Where it is one, there is something to tell."""
    config = tiny(agent)
    with pytest.raises(UsageError, match=r"a twentieth of 140 bytes, is 7 bytes long, less than --segment 8; give 160"):
        check_run(config, tiny_corpus(140))
    check_run(config, tiny_corpus(160))
    assert outcome(config, tmp_path, tiny_corpus(160))[1]["test_bits"] > 0


def entropy(text: bytes) -> float:
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def test_what_is_remembered_is_foretold(tmp_path: Path) -> None:
    # Letters come again after two segments: nothing within one tells which.
    text = periodic_text(60_000)
    corpus, bits = make_corpus("periodic", text), {}
    settings = dict(
        d_model=32, n_heads=2, d_feedforward=64, segment=8, memory_length=16, compressed_length=8, batch_size=32,
        pretrain_updates=150, cotrain_updates=30, learning_rate=1e-2, warmup=20, validate_every=400,
    )  # fmt: skip
    assert entropy(text) > 2.95
    for name in ("none", "xl", "dct"):
        bits[name] = outcome(tiny(name, **settings), tmp_path, corpus)[1]["test_bits"]
    assert bits["none"] > 2.5
    assert bits["xl"] < 1.8
    assert bits["dct"] < 1.8


def test_reading_distance_grows_where_blocks_are_discarded() -> None:
    corpus = tiny_corpus()
    furthest = {}
    for name in ("keep", "random", "discard"):
        record = ReadingRecord()
        Experiment(tiny(name), corpus).score(corpus.train, record=record)
        furthest[name] = int(record.reading_distance.max())
    # 8 recent tokens and two segments, of which one is in the slots.
    assert furthest["keep"] < 8 + 8 + 2 * 8 + 8
    assert furthest["keep"] < furthest["random"] < furthest["discard"]
    # What fills the slots first stays there.
    assert furthest["discard"] > len(corpus.train) // 3 - 8 - 1
