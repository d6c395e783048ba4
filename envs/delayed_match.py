"""Delayed match to sample: see a few items, wait, then say whether the same ones come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_integer, check_option, check_span
from memory_agents.envs.base import Action, Frame, MemoryEnv, Observation
from memory_agents.envs.chance import below
from memory_agents.envs.delayed_match_frame import Answer, Scene, draw
from memory_agents.envs.trial_script import TrialScript

PHASES = ("sample", "delay", "probe")
SAMPLE, DELAY, PROBE = range(3)
WAIT, YES, NO = range(3)
MAX_ITEMS, MAX_VALUES = 4, 12
DEFAULT_DELAY = 8
DELAY_LOOK = 1


class DelayedMatch(MemoryEnv):
    """Say whether the items that come back after a delay are those seen before it.

    **Task.** Delayed (non-)match to sample, the standard test of working memory in primates (Miller et al. 1996,
    https://doi.org/10.1523/JNEUROSCI.16-16-05154.1996), with sets of items as in change detection (Luck and Vogel
    1997, https://doi.org/10.1038/36846). An episode is a row of trials. In each, the sample is seen for one step:
    ``set_size`` items, one in each place, of ``n_values`` kinds. A delay follows, then the probe: the same items in
    the same places or, as often, with exactly one of them changed. Every item of the sample is drawn uniformly and
    independently of the others; which place changes, and to which other kind, is uniform too. So the probe is
    distributed alike whether or not it has changed, and tells nothing by itself.

    **Observation.** ``Box(0, 1, (3 + set_size * n_values,), float32)``: the phase (sample, delay, probe) as one-hot,
    then for every place the kind of its item as one-hot. Places are empty, all zeros, during the delay. The
    observation after the last probe is all zeros.

    **Actions.** ``Discrete(3)``: 0 waits, 1 says yes, 2 says no; they matter at the probe only. The question is
    whether the probe is the same as the sample, or with ``rule="nonmatch"`` whether it has changed.

    **Rewards.** At the probe ``1 / trials`` for the right answer and ``-1 / trials`` for anything else, waiting
    included; otherwise 0.

    **Ends.** Terminated after the probe of the last trial. The info of the last step holds ``correct_answers`` and
    ``is_success`` (every trial correct).

    **Anchors.** Optimal 1; memoryless 0, since a guess is right as often as wrong; random -1/3.

    :param set_size: Items to remember, and places, 1 to 4.
    :param n_values: Kinds of items, 2 to 12.
    :param trials: Trials per episode.
    :param delay: Steps between sample and probe: a number, or an inclusive range ``(low, high)`` to draw from in
        every trial. From the sight of the sample to the probe pass ``delay + 1`` steps. None means 8, unless
        ``delays`` says otherwise.
    :param delays: In place of ``delay``, a list of delays from which every trial draws one, all alike likely.
    :param rule: Whether yes means that the probe is the same, ``"match"``, or has changed, ``"nonmatch"``.
    :param render_mode: None or ``"rgb_array"``. Frames show what the observation shows, and the outcome of answers
        already given.
    :raises ValueError: If an argument is out of bounds, or both ``delay`` and ``delays`` are given.
    """

    tags: ClassVar[tuple[str, ...]] = ("object", "capacity")
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"delay": 8},
        "interpolate": {"delay": (2, 8)},
        "extrapolate": {"delays": [16, 32, 64]},
    }

    def __init__(
        self,
        *,
        set_size: int = 2,
        n_values: int = 4,
        trials: int = 6,
        delay: Span | None = None,
        delays: Sequence[int] | None = None,
        rule: str = "match",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode=render_mode)
        self.set_size = check_integer("set_size", set_size, 1, MAX_ITEMS)
        self.n_values = check_integer("n_values", n_values, 2, MAX_VALUES)
        self.trials = check_integer("trials", trials, 1)
        self.delays = _check_delays(delay, delays)
        self.rule = check_option("rule", rule, ("match", "nonmatch"))

        self._n_features = len(PHASES) + self.set_size * self.n_values
        self.observation_space = spaces.Box(0.0, 1.0, (self._n_features,), np.float32)
        self.action_space = spaces.Discrete(3)

        self._delay_choices, self._longest_delay = np.array(self.delays), max(self.delays)
        self._phase_rows = np.eye(len(PHASES), dtype=np.float32)
        self._item_rows = np.eye(self.n_values, dtype=np.float32)
        self._places = np.arange(self.set_size)
        # What all episodes show: nothing, and a step of a delay.
        self._looks = np.zeros((2, self._n_features), np.float32)
        self._looks[DELAY_LOOK, DELAY] = 1.0
        # A trial's delay, whether its probe has changed, where, and by how much; then its items.
        self._bounds = np.array(
            [len(self.delays), 2, self.set_size, self.n_values - 1] + self.set_size * [self.n_values]
        )
        self.draws = self.trials * len(self._bounds)
        self._reward = 1.0 / self.trials

    @property
    def optimal_return(self) -> float:
        return 1.0

    @property
    def memoryless_return(self) -> float:
        return 0.0

    @property
    def random_return(self) -> float:
        return -1.0 / 3.0

    def oracle(self) -> DelayedMatchOracle:
        return DelayedMatchOracle(self.rule)

    def plan(self, uniforms: NDArray[np.float64]) -> TrialScript:
        """Write episodes from uniform numbers.

        :param uniforms: ``(episodes, draws)``, a row for each episode.
        """
        episodes, trials = len(uniforms), self.trials
        drawn = below(uniforms.reshape(episodes, trials, -1), self._bounds)
        delay, changed, place, shift = drawn[:, :, :4].transpose(2, 0, 1)
        items = np.empty((episodes, trials, 2, self.set_size), np.int64)
        samples, probes = items.transpose(2, 0, 1, 3)
        samples[:] = drawn[:, :, 4:]
        probes[:] = samples + (changed * (1 + shift))[:, :, None] * (self._places == place[:, :, None])
        probes %= self.n_values

        own = np.empty((episodes, 2 * trials, self._n_features), np.float32)
        own[:, ::2, : len(PHASES)] = self._phase_rows[SAMPLE]
        own[:, 1::2, : len(PHASES)] = self._phase_rows[PROBE]
        own[:, :, len(PHASES) :] = self._item_rows.take(items, axis=0).reshape(episodes, 2 * trials, -1)

        script = TrialScript.blank(episodes, trials, 2 + self._longest_delay, own)
        looks, asked = script.by_trial(trials)
        looks[:, :, 0] = np.arange(len(self._looks), len(self._looks) + 2 * trials, 2)
        looks[:, :, 1:-1] = DELAY_LOOK
        looks[:, :, -1] = looks[:, :, 0] + 1
        asked[:, :, -1] = NO - changed if self.rule == "nonmatch" else YES + changed
        return script if len(self.delays) == 1 else script.without_spare_delays(1, self._delay_choices.take(delay))

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        episode = self.plan(uniforms[None])
        self._script: list[Observation] = episode.observations(self._looks)
        self._asked: list[int] = episode.asked[0].tolist()
        self._answers: list[Answer] = []
        self._time = 0
        return self._script[0].copy()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, 3)
        right = self._asked[self._time]
        self._time += 1
        observation = self._script[self._time].copy()
        if not right:
            return observation, 0.0, False, False, {}
        correct = action == right
        self._answers.append(Answer(action, correct))
        reward = self._reward if correct else -self._reward
        if len(self._answers) < self.trials:
            return observation, reward, False, False, {}
        self._playing = False
        count = sum(answer.correct for answer in self._answers)
        return observation, reward, True, False, {"correct_answers": count, "is_success": count == self.trials}

    def _frame(self) -> Frame:
        # When all is over the last probe stays in the picture, beside the outcome.
        probes = [time for time, asked in enumerate(self._asked) if asked]
        trial = min(len(self._answers), self.trials - 1)
        start, end = probes[trial - 1] + 1 if trial else 0, probes[trial] + 1
        time = min(self._time, end - 1)
        row = self._script[time]
        return draw(
            Scene(
                phase=int(row[: len(PHASES)].argmax()),
                items=tuple(
                    int(place.argmax()) if place.any() else None
                    for place in row[len(PHASES) :].reshape(self.set_size, self.n_values)
                ),
                step=time - start,
                steps=end - start,
                rule=self.rule,
                trials=self.trials,
                answers=tuple(self._answers),
            )
        )


def _check_delays(delay: Span | None, delays: object) -> tuple[int, ...]:
    """Return the delays to draw from."""
    if delays is None:
        low, high = check_span("delay", DEFAULT_DELAY if delay is None else delay, 0)
        return tuple(range(low, high + 1))
    if delay is not None:
        raise ValueError(f"delay={delay!r} does not fit delays={delays!r}, which takes its place: pass one of them.")
    if not isinstance(delays, Sequence) or isinstance(delays, str) or not delays:
        raise ValueError(f"delays={delays!r} is not a list of delays: pass one or more integers.")
    return tuple(check_integer(f"delays[{i}]", number, 0) for i, number in enumerate(delays))


class DelayedMatchOracle:
    """Keeps the items of the sample and compares the probe with them.

    :param rule: ``"match"`` or ``"nonmatch"``.
    """

    def __init__(self, rule: str) -> None:
        self.yes_means_same = rule == "match"
        self.reset()

    def reset(self) -> None:
        self.seen: Observation = np.zeros(0)

    def act(self, observation: Observation) -> int:
        items = observation[len(PHASES) :]
        if observation[SAMPLE]:
            self.seen = items.copy()
        if not observation[PROBE]:
            return WAIT
        return YES if np.array_equal(items, self.seen) == self.yes_means_same else NO
