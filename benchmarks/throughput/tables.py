"""Measurements as tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from memory_agents.benchmarks.collect import markdown
from memory_agents.benchmarks.throughput.measurement import Measurement, written
from memory_agents.benchmarks.throughput.results import Measured
from memory_agents.benchmarks.throughput.stopwatch import WALL

NONE = "-"
#: CPU seconds for each second on the clock below which a single thread was kept waiting.
DISTURBED = 0.9
#: Processes at work above which a machine is not idle.
BUSY = 0.5

Row = tuple[str, ...]

SPEED_NOTE = (
    "Acting: the policy alone, with its memory full; collecting: all of a step but the environments themselves. "
    "Learning: a gradient step with all that goes with it, and a transition with all passes over it. Relative: how "
    "many times as long as the first agent it took, medians of the ratios within rounds."
)
COST_NOTE = (
    "State: bytes of memory states that a rollout holds for each transition; saved: how many times as many the memory "
    "of every step would be. Operations: matrix products and attention, forward and backward, for a transition in a "
    "pass; elementwise work, norms and the optimizer are not counted. Peak: the quickest product of large matrices on "
    "this machine, in float32 or, where learning has another format, in that. Memory: at most, in a process that "
    "learns this alone, and how much of it came with the agent and its environments."
)
CPU_NOTE = "All times are CPU seconds."


def speed_rows(group: Measured) -> list[Row]:
    """
    :param group: what was measured together
    :return: headings, and a row for each agent
    """
    heading = (
        *("agent", "memory", "policy", "envs", "window", "threads", "minibatch"),
        *("acting ms/step", "collecting ms/step", "env ms/step"),
        *("learning ms/update", "learning µs/transition", "steps/s"),
        *("relative: acting", "learning", "end to end"),
    )
    first = group.agents[0]
    return [
        heading,
        *(
            (
                *_name(each),
                str(each.batch_size or NONE),
                f"{statistics.median(each.acting_ms):.3f}",
                f"{each.collecting_ms:.3f}",
                f"{each.environment_ms:.3f}",
                f"{each.update_ms:.2f}",
                f"{each.learning_us:.1f}",
                f"{each.steps_per_second:,.0f}",
                *(f"{first.times_faster(each, what):.2f}" for what in ("acting_ms", "learning_s", "total_s")),
            )
            for each in group.agents
        ),
    ]


def cost_rows(group: Measured) -> list[Row]:
    """
    :param group: what was measured together
    :return: headings, and a row for each agent
    """
    heading = (
        *("agent", "memory", "policy", "envs", "window", "threads", "parameters", "state bytes/transition", "saved"),
        *("kFLOP/transition", "learning GFLOP/s", "share of peak", "peak GFLOP/s", "memory MiB", "of which its own"),
    )
    return [heading, *(_costs(each) for each in group.agents)]


def _costs(each: Measurement) -> Row:
    rate, share, best = each.flops_per_second, each.share_of_peak, each.best_rate
    return (
        *_name(each),
        f"{each.parameters:,}",
        f"{each.state_bytes:,.0f}",
        NONE if not each.state_bytes else f"{each.whole_state_bytes / each.state_bytes:.0f}",
        NONE if each.flops is None else f"{each.flops / 1e3:,.0f}",
        NONE if rate is None else f"{rate / 1e9:.1f}",
        NONE if share is None else f"{share:.1%}",
        NONE if best is None else f"{best / 1e9:.0f}",
        _mib(each, "process_mib") + (f", GPU {_mib(each, 'cuda_mib')}" if "cuda_mib" in each.memory else ""),
        _mib(each, "own_mib"),
    )


def _mib(each: Measurement, name: str) -> str:
    return f"{each.memory[name]:.0f}" if name in each.memory else NONE


def _name(each: Measurement) -> Row:
    memory, policy = (written(each.arguments.get(name, {})) for name in ("memory_kwargs", "policy_kwargs"))
    device = "" if each.device == "cpu" else f" on {each.device}"
    return (each.agent, memory or NONE, policy or NONE, str(each.n_envs), str(each.window), f"{each.threads}{device}")


def disturbed(groups: Sequence[Measured]) -> list[str]:
    """
    :param groups: what was measured
    :return: a line for each group, and each agent, whose times are those of a machine that had other work, too
    """
    lines = []
    for group in groups:
        if group.load is not None and group.load > BUSY:
            lines.append(f"before {_what(group)} was measured, {group.load:.1f} other processes were at work")
        waiting = [
            each for each in group.agents if each.threads == 1 and each.device == "cpu" and each.busy < DISTURBED
        ]
        if waiting and group.clock == WALL:
            names = ", ".join(dict.fromkeys(each.agent for each in waiting))
            least = min(each.busy for each in waiting)
            lines.append(
                f"in {_what(group)} {names} had {least:.0%} of a core or little more: these times are too long"
            )
    return lines


def _what(group: Measured) -> str:
    return f"{group.case} ({threads_text(group.agents[0].threads)})"


def threads_text(number: int) -> str:
    """
    :param number: how many threads
    :return: that in words
    """
    return f"{number} thread" if number == 1 else f"{number} threads"


def page(groups: Sequence[Measured]) -> str:
    """
    :param groups: what was measured
    :return: all tables, as Markdown
    """
    parts = [SPEED_NOTE, COST_NOTE]
    for group in groups:
        heading = f"{group.title} ({threads_text(group.agents[0].threads)})"
        parts += [f"## {heading}", *([] if group.clock == WALL else [CPU_NOTE]), markdown(speed_rows(group))]
        if any(each.flops is not None for each in group.agents):
            parts.append(markdown(cost_rows(group)))
    parts += [f"Note: {line}" for line in disturbed(groups)]
    return "\n\n".join(parts) + "\n"
