from __future__ import annotations

import json
from keyword import iskeyword

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.benchmarks.arguments import (
    UsageError,
    check_device,
    check_name,
    numbers,
    parse_kwargs,
    suggestions,
)

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not iskeyword(name))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
kwargs = st.dictionaries(names, values, max_size=4)


@given(kwargs)
def test_pairs_and_objects_read_the_same(expected: dict[str, object]) -> None:
    pairs = [f"{key}={json.dumps(value)}" for key, value in expected.items()]

    assert parse_kwargs("--env-kwargs", pairs) == expected
    assert parse_kwargs("--env-kwargs", [json.dumps(expected)]) == expected


@given(st.lists(st.text(max_size=12), max_size=3))
def test_any_text_is_read_or_refused_in_one_line(items: list[str]) -> None:
    try:
        assert all(key.isidentifier() for key in parse_kwargs("--env-kwargs", items))
    except UsageError as error:
        message = str(error)
        assert message.startswith("--env-kwargs")
        assert len(message.splitlines()) == 1


@pytest.mark.parametrize("word", ["nonmatch", "runs/demo", "2x", "a=b"])
def test_bare_words_are_strings(word: str) -> None:
    assert parse_kwargs("--env-kwargs", [f"rule={word}"]) == {"rule": word}


def test_options_add_up() -> None:
    assert parse_kwargs("--env-kwargs", ["a=1", '{"b": [2, 3]}']) == {"a": 1, "b": [2, 3]}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["delay"], ["delay=VALUE"]),
        (["delay="], ["''", "not valid JSON"]),
        (["delay=[1,"], ["[1,", "brackets"]),
        (["active=True"], ["active=true"]),
        (["time_limit=None"], ["time_limit=null"]),
        (['{"a": }'], ["not valid JSON", "key=value"]),
        (["my-delay=1"], ["'my-delay'", "argument name"]),
        (["a=1", "a=2"], ["'a'", "twice"]),
        (["a=1", '{"a": 2}'], ["'a'", "twice"]),
    ],
)
def test_refusals_name_the_mend(items: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_kwargs("--env-kwargs", items)

    for word in ["--env-kwargs", *words]:
        assert word in str(caught.value)


def test_messages_are_one_line() -> None:
    assert str(UsageError("first\n   second  third")) == "first second third"


def test_hopeless_names_get_the_list() -> None:
    assert suggestions("zzzz", ["lstm"]) == []
    with pytest.raises(UsageError, match="use lstm"):
        check_name("--memory-class", "zzzz", ["lstm"], "use lstm")


def test_devices() -> None:
    assert check_device("auto") == "auto"
    assert check_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="use auto, cpu or cuda"):
        check_device("gpu")
    with pytest.raises(UsageError, match="'meta' cannot compute here; use auto, cpu or cuda"):
        check_device("meta")
    with pytest.raises(UsageError, match="CUDA devices"):
        check_device(f"cuda:{th.cuda.device_count()}")


def test_numbers_come_one_by_one_in_rows_and_in_ranges() -> None:
    assert numbers("--seeds", ["3,1", "0-2", "7"], least=0) == [3, 1, 0, 2, 7]
    assert numbers("--threads", None) == []
    assert numbers("--threads", ["4-4"]) == [4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("one", "'one' is out of bounds; write whole numbers from 2 up, as 1,8 or 2-5"),
        ("1-4", "'1-4' is out of bounds"),
        ("-3", "'-3' is out of bounds"),
        ("2-", "'2-' is out of bounds"),
        ("4-2", "'4-2' has no number in it; write the smaller one first"),
        ("", "'' has no number in it"),
        (",", "',' has no number in it"),
    ],
)
def test_numbers_out_of_bounds(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^--window {message}"):
        numbers("--window", [given], least=2)
