from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.report.svg import save_picture
from memory_agents.benchmarks.throughput.pictures import scaling_picture
from memory_agents.benchmarks.throughput.results import load_results, save_results
from memory_agents.benchmarks.throughput.tables import cost_rows, disturbed, page, speed_rows
from tests.benchmarks.throughput.small import measured, measurement

ONE = measurement("one")
# Two times as slow in one round, three and five in the others.
OTHER = measurement("other", total_s=[2.0, 6.0, 20.0], learning_s=[0.4, 1.6, 0.6], acting_ms=[0.5, 1.0, 3.0])


def column(rows: list[tuple[str, ...]], heading: str) -> list[str]:
    return [row[rows[0].index(heading)] for row in rows[1:]]


def test_what_follows_from_the_numbers() -> None:
    assert ONE.transitions == 800
    assert ONE.collecting_ms == pytest.approx(2.0)
    assert ONE.environment_ms == pytest.approx(0.5)
    assert ONE.update_ms == pytest.approx(600 / 16)
    assert ONE.learning_us == pytest.approx(6e5 / 800)
    assert ONE.steps_per_second == 400
    assert ONE.flops_per_second == pytest.approx(3e6 * 4 * 800 / 0.6)
    assert ONE.share_of_peak == pytest.approx(3e6 * 4 * 800 / 0.6 / 1e11)
    assert ONE.busy == 1.0


def test_ratios_are_of_one_round() -> None:
    # The ratios of the medians are 2.5, 1.33 and 0.75.
    other = measurement("other", total_s=[5.0, 4.0, 12.0], learning_s=[0.8, 0.8, 0.3], acting_ms=[3.0, 1.0, 1.5])
    assert ONE.times_faster(other, "total_s") == 3
    assert ONE.times_faster(other, "learning_s") == 1
    assert ONE.times_faster(other, "acting_ms") == 0.5


def test_ratios_are_for_equally_many_steps() -> None:
    twice = replace(OTHER, n_envs=16)
    assert ONE.times_faster(twice, "total_s") == 1.5
    # A step of acting is one of all environments.
    assert ONE.times_faster(twice, "acting_ms") == 0.5


def test_speed() -> None:
    rows = speed_rows(measured(ONE, OTHER))
    assert column(rows, "agent") == ["one", "other"]
    assert column(rows, "acting ms/step") == ["2.000", "1.000"]
    assert column(rows, "learning ms/update") == ["37.50", "37.50"]
    assert column(rows, "steps/s") == ["400", "133"]
    assert column(rows, "end to end") == ["1.00", "3.00"]


def test_costs() -> None:
    kwargs = {"memory_kwargs": {"memory_length": 8, "gating": "none"}}
    bare = measurement("bare", flops=None, peak={}, memory={}, state_bytes=0.0, device="cuda", arguments=kwargs)
    rows = cost_rows(measured(ONE, bare))
    assert column(rows, "memory") == ["-", "memory_length=8, gating=none"]
    assert column(rows, "threads") == ["1", "1 on cuda"]
    assert column(rows, "state bytes/transition") == ["512", "0"]
    assert column(rows, "saved") == ["100", "-"]
    assert column(rows, "kFLOP/transition") == ["3,000", "-"]
    assert column(rows, "share of peak") == ["16.0%", "-"]
    assert column(rows, "peak GFLOP/s") == ["100", "-"]
    assert column(rows, "memory MiB") == ["300", "-"]
    assert column(rows, "of which its own") == ["51", "-"]


def test_the_peak_is_that_of_the_numbers_that_learning_computes_in() -> None:
    peak = {"float32": 5e10, "float32, oneDNN": 1e11, "bfloat16": 4e11}
    plain, mixed = (
        measurement("one", peak=peak, arguments={"policy_kwargs": kwargs}) for kwargs in ({}, {"autocast": "bfloat16"})
    )
    unknown = replace(mixed, peak={"float32": 5e10})
    rows = cost_rows(measured(plain, mixed, unknown))
    assert column(rows, "policy") == ["-", "autocast=bfloat16", "autocast=bfloat16"]
    assert column(rows, "share of peak") == ["16.0%", "4.0%", "-"]
    assert column(rows, "peak GFLOP/s") == ["100", "400", "-"]


def test_costs_that_were_not_measured_have_no_table() -> None:
    assert page([measured(ONE)]).count("| agent |") == 2
    assert page([measured(replace(ONE, flops=None))]).count("| agent |") == 1


def test_memory_of_a_gpu() -> None:
    rows = cost_rows(measured(measurement("one", memory={"process_mib": 900.0, "own_mib": 60.0, "cuda_mib": 12.0})))
    assert column(rows, "memory MiB") == ["900, GPU 12"]


def test_a_machine_with_other_work_is_told() -> None:
    slow = measurement("slow", busy_shares=[0.5, 0.4, 1.0])
    assert disturbed([measured(ONE)]) == []
    assert disturbed([measured(ONE, load=0.2)]) == []
    (line,) = disturbed([measured(ONE, slow)])
    assert line.startswith("in small (1 thread) slow had 50% of a core")
    assert disturbed([measured(ONE, slow, clock="cpu")]) == []
    # Threads that wait for one another are at work, too.
    assert disturbed([measured(replace(slow, threads=2))]) == []
    (line,) = disturbed([measured(ONE, load=3.21)])
    assert line == "before small (1 thread) was measured, 3.2 other processes were at work"


def test_tables_can_be_made_from_the_file(tmp_path: Path) -> None:
    groups = [measured(ONE, OTHER, load=0.1), measured(OTHER, at=(64.0,), axis="slots", clock="cpu")]
    path = tmp_path / "results.json"
    save_results(groups, "memory-bench throughput", 3, path)
    again, rest = load_results(path)
    assert again == groups
    assert page(again) == page(groups)
    assert "All times are CPU seconds." in page(again)
    assert (rest["command"], rest["rounds"]) == ("memory-bench throughput", 3)
    assert set(rest) == {"command", "rounds", "commit", "versions", "hardware"}


@pytest.mark.parametrize("text", ["", "{}", '{"groups": [{"case": 1}]}', '{"groups": 3}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UsageError, match="does not hold what memory-bench throughput measured"):
        load_results(tmp_path / "results.json")


def test_scaling_is_drawn(tmp_path: Path) -> None:
    agents = [replace(each, n_envs=n) for each in (ONE, OTHER) for n in (16, 4)]
    picture = scaling_picture(measured(*agents, axis="environments", at=(16.0, 4.0, 16.0, 4.0)), "scaling")
    first, second, third = picture.figure.axes
    assert [np.asarray(line.get_xdata()).tolist() for line in first.lines] == [[4.0, 16.0]] * 2
    assert [np.asarray(line.get_ydata()).tolist() for line in first.lines] == [[2.0, 2.0], [1.0, 1.0]]
    assert np.asarray(second.lines[0].get_ydata()).tolist() == [pytest.approx(1500), pytest.approx(375)]
    assert np.asarray(third.lines[0].get_ydata()).tolist() == [200, 800]
    assert first.get_xlabel() == "environments"
    assert "End to end of one: 200, 800 steps/s" in picture.alt
    png, svg = save_picture(picture, tmp_path)
    assert png.stat().st_size > 1000
    assert ">other</text>" in svg.read_text()


def test_variants_of_an_agent_are_lines_of_their_own() -> None:
    arguments = {"policy_kwargs": {"autocast": "bfloat16"}}
    agents = [ONE, replace(ONE, arguments=arguments), replace(OTHER, arguments=arguments)]
    picture = scaling_picture(measured(*agents, axis="environments", at=(1.0, 1.0, 1.0)), "scaling")
    lines = [line.get_label() for line in picture.figure.axes[0].lines]
    assert lines == ["one, as it is", "one, autocast=bfloat16", "other"]


def test_agents_off_the_axis_are_level_lines() -> None:
    agents = [replace(ONE, n_envs=16), OTHER, replace(ONE, n_envs=4)]
    picture = scaling_picture(measured(*agents, axis="hidden_size", at=(16.0, None, 4.0)), "scaling")
    grows, level = picture.figure.axes[0].lines
    assert np.asarray(grows.get_xdata()).tolist() == [4.0, 16.0]
    # From edge to edge.
    assert np.asarray(level.get_xdata()).tolist() == [0, 1]
    assert np.asarray(level.get_ydata()).tolist() == [1.0, 1.0]
    assert (grows.get_label(), level.get_label()) == ("one", "other")
    assert "Acting, all environments of other: 1 ms/step" in picture.alt
