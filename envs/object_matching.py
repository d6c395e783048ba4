"""Object matching: see an object, wait, then tell it from another one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_flag, check_integer, check_option, check_span
from memory_agents.envs.base import Action, Frame, MemoryEnv, Observation
from memory_agents.envs.object_matching_frame import Choice, Scene, draw

PHASES = ("cue", "pad", "delay", "choice")
CUE, PAD, DELAY, CHOICE = range(4)
WAIT, LEFT, RIGHT, STEP_ON_PAD = range(4)
MAX_SHAPES, MAX_COLOURS = 12, 3
PAD_REWARD, CHOICE_REWARD = 0.1, 1.0


class ObjectMatching(MemoryEnv):
    """Choose, of two objects, the one not seen before the delay.

    **Task.** A symbolic form of DMLab's ``rooms_select_nonmatching_object``, the reinforcement-learning task of the
    Compressive Transformer paper (Rae et al. 2020, https://arxiv.org/abs/1911.05507). An episode is a row of trials.
    In each, an object (the sample) is seen for ``cue_steps`` steps in one of two slots; the pad follows, then a delay,
    and then the sample and another object (the foil) stand in the two slots. The side of the cue, the side of the
    correct object and the foil are drawn anew in every trial, independently of one another and of the sample.

    **Observation.** ``Box(0, 1, (4 + 2 * (n_shapes + n_colours),), float32)``: the phase (cue, pad, delay, choice) as
    one-hot, then for the left and for the right slot the shape as one-hot and the colour as one-hot. An empty slot is
    all zeros, and so is the observation after the last choice.

    **Actions.** ``Discrete(3)``: 0 waits, 1 chooses left, 2 chooses right; they matter at the choice only. With
    ``self_paced`` it is ``Discrete(4)``: action 3 steps on the pad, and matters at the pad only.

    **Rewards.** 0.1 at the pad; at the choice +1 for the correct object and -1 for anything else, waiting included
    (one to ten, as in the original).

    **Ends.** Terminated after the choice of the last trial. With ``self_paced`` truncated after ``time_limit`` steps,
    if that comes first. The info of the last step holds ``correct_choices`` and ``is_success`` (every trial correct).

    **Anchors.** Optimal 1.1 per trial; memoryless 0.1 per trial, since a guess earns +1 and -1 equally often; random
    0.1 - 1/3 per trial. With ``self_paced`` random actions may run out of time, which ``random_return`` accounts for
    exactly.

    :param n_shapes: Number of shapes, 1 to 12.
    :param n_colours: Number of colours, 1 to 3; every shape in every colour is an object of its own (the original
        has 12 shapes in 3 modifications).
    :param trials: Trials per episode.
    :param delay: Steps between pad and choice: a number, or an inclusive range ``(low, high)`` to draw from in every
        trial. From the last sight of the sample to the choice pass ``delay + 2`` steps.
    :param cue_steps: Steps for which the sample is seen.
    :param distractors: What fills both slots during the delay, drawn anew at every step: ``"none"`` leaves them
        empty, ``"noise"`` puts uniform noise into every feature, ``"objects"`` shows random objects.
    :param rule: The object to choose: ``"nonmatch"`` the foil, ``"match"`` the sample.
    :param sample: When a sample is drawn: in every ``"trial"``, or once per ``"episode"`` as in the original.
    :param self_paced: Whether the pad phase lasts until the agent steps on the pad by action 3. Otherwise it lasts
        one step whatever the action.
    :param time_limit: Steps after which a self-paced episode is truncated; None means twice what the longest trials
        need. It must leave time for the longest trials.
    :param held_out: Objects reserved for evaluation, as a number or as a fraction of all. They are the same ones in
        every environment of this ``n_shapes`` and ``n_colours``, and spread so that, with more than one colour and
        at most ``n_shapes`` reserved, every shape still appears in training.
    :param evaluation: Whether samples, foils and distractors are drawn from the held-out objects instead of from all
        others.
    :param render_mode: None or ``"rgb_array"``. Frames show what the observation shows, and the outcome of choices
        already made.
    :raises ValueError: If an argument is out of bounds, or fewer than two objects remain to draw from.
    """

    tags: ClassVar[tuple[str, ...]] = ("object",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "train": {"delay": 8},
        "interpolate": {"delay": (2, 8)},
        "extrapolate": {"delay": (16, 80)},
    }

    def __init__(
        self,
        *,
        n_shapes: int = 8,
        n_colours: int = 1,
        trials: int = 4,
        delay: Span = 8,
        cue_steps: int = 2,
        distractors: str = "none",
        rule: str = "nonmatch",
        sample: str = "trial",
        self_paced: bool = False,
        time_limit: int | None = None,
        held_out: int | float = 0,
        evaluation: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode=render_mode)
        self.n_shapes = check_integer("n_shapes", n_shapes, 1, MAX_SHAPES)
        self.n_colours = check_integer("n_colours", n_colours, 1, MAX_COLOURS)
        self.trials = check_integer("trials", trials, 1)
        self.delay = check_span("delay", delay, 0)
        self.cue_steps = check_integer("cue_steps", cue_steps, 1)
        self.distractors = check_option("distractors", distractors, ("none", "noise", "objects"))
        self.rule = check_option("rule", rule, ("nonmatch", "match"))
        self.sample = check_option("sample", sample, ("trial", "episode"))
        self.self_paced = check_flag("self_paced", self_paced)
        self.time_limit = self._check_time_limit(time_limit)
        self.evaluation = check_flag("evaluation", evaluation)

        n_features = self.n_shapes + self.n_colours
        self.observation_space = spaces.Box(0.0, 1.0, (len(PHASES) + 2 * n_features,), np.float32)
        self.n_actions = 4 if self.self_paced else 3
        self.action_space = spaces.Discrete(self.n_actions)

        self._slots = tuple(slice(start, start + n_features) for start in (len(PHASES), len(PHASES) + n_features))
        self._objects = self._choose_objects(held_out)
        self._features = np.zeros((len(self._objects), n_features), np.float32)
        for row, (shape, colour) in zip(self._features, self._objects, strict=True):
            row[[shape, self.n_shapes + colour]] = 1.0
        self._blank = np.zeros(self.observation_space.shape, np.float32)

    def _check_time_limit(self, time_limit: int | None) -> int | None:
        if not self.self_paced:
            if time_limit is not None:
                raise ValueError(
                    f"time_limit={time_limit!r} has no use, as the episode's length is fixed: pass self_paced=True, "
                    "or leave it None."
                )
            return None
        needed = self.trials * (self.cue_steps + self.delay[1] + 2)
        return 2 * needed if time_limit is None else check_integer("time_limit", time_limit, needed)

    def _choose_objects(self, held_out: int | float) -> list[tuple[int, int]]:
        # Along diagonals of shape x colour: each pass over the shapes takes a different colour of each.
        objects = [
            (shape, (shape + turn) % self.n_colours) for turn in range(self.n_colours) for shape in range(self.n_shapes)
        ]
        if isinstance(held_out, float):
            if not 0.0 <= held_out < 1.0:
                raise ValueError(f"held_out={held_out!r} is out of bounds: pass a fraction from 0 to below 1.")
            count = round(held_out * len(objects))
        else:
            count = check_integer("held_out", held_out, 0, len(objects))
        chosen = objects[:count] if self.evaluation else objects[count:]
        if len(chosen) < 2:
            raise ValueError(
                f"held_out={held_out!r} of {len(objects)} objects (n_shapes={self.n_shapes}, "
                f"n_colours={self.n_colours}) with evaluation={self.evaluation} leaves {len(chosen)} to draw from, and "
                "a choice needs 2: reserve another number or raise n_shapes or n_colours."
            )
        return chosen

    @property
    def optimal_return(self) -> float:
        return self.trials * (PAD_REWARD + CHOICE_REWARD)

    @property
    def memoryless_return(self) -> float:
        return self.trials * PAD_REWARD

    @property
    def random_return(self) -> float:
        choice = CHOICE_REWARD * (2 / self.n_actions - 1)
        if self.time_limit is None:
            return self.trials * (PAD_REWARD + choice)
        # begins[t]: the probability that a trial begins at step t, for t within the time limit.
        low, high = self.delay
        begins = np.zeros(self.time_limit)
        begins[0] = 1.0
        wait = np.append(np.zeros(self.cue_steps), 0.25 * 0.75 ** np.arange(self.time_limit))
        pause = np.append(np.zeros(low + 1), np.full(high - low + 1, 1 / (high - low + 1)))
        total = 0.0
        for _ in range(self.trials):
            pads = np.convolve(begins, wait)[: self.time_limit]
            choices = np.convolve(pads, pause)[: self.time_limit]
            total += PAD_REWARD * float(pads.sum()) + choice * float(choices.sum())
            begins = np.append(0.0, choices[:-1])
        return total

    def oracle(self) -> MatchingOracle:
        return MatchingOracle(self._slots, self.rule, STEP_ON_PAD if self.self_paced else WAIT)

    def _begin(self) -> Observation:
        self._choices: list[Choice] = []
        self._time = 0
        self._draw_sample()
        return self._begin_trial()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, self.n_actions)
        self._time += 1
        reward = 0.0
        if self._row == self._choice_row:
            correct = action == self._correct_action
            self._choices.append(Choice(action, correct))
            reward = CHOICE_REWARD if correct else -CHOICE_REWARD
            if len(self._choices) == self.trials:
                self._playing = False
                return self._blank.copy(), reward, True, False, self._summary()
            if self.sample == "trial":
                self._draw_sample()
            observation = self._begin_trial()
        else:
            if self._row != self.cue_steps:
                self._row += 1
            elif not self.self_paced or action == STEP_ON_PAD:
                self._row += 1
                reward = PAD_REWARD
            observation = self._script[self._row].copy()
        if self._time == self.time_limit:
            self._playing = False
            return observation, reward, False, True, self._summary()
        return observation, reward, False, False, {}

    def _frame(self) -> Frame:
        row = self._script[self._row]
        phase = int(row[: len(PHASES)].argmax())
        first, last = (
            (0, self.cue_steps),
            (self.cue_steps, self.cue_steps + 1),
            (self.cue_steps + 1, self._choice_row),
            (self._choice_row, self._choice_row + 1),
        )[phase]
        return draw(
            Scene(
                phase=phase,
                step=self._row - first,
                steps=last - first,
                slots=tuple(row[slot] for slot in self._slots),
                n_shapes=self.n_shapes,
                rule=self.rule,
                trials=self.trials,
                choices=tuple(self._choices),
                over=not self._playing,
            )
        )

    def _draw_sample(self) -> None:
        self._sample = int(self.np_random.integers(len(self._objects)))

    def _begin_trial(self) -> Observation:
        """Write the trial's script, one observation a row, and return its first row."""
        rng, n_objects, (low, high) = self.np_random, len(self._objects), self.delay
        delay = low if low == high else int(rng.integers(low, high, endpoint=True))
        foil = (self._sample + 1 + int(rng.integers(n_objects - 1))) % n_objects
        cue_side, sample_side = (int(side) for side in rng.integers(2, size=2))
        delay_row = self.cue_steps + 1
        choice_row = delay_row + delay

        script = np.zeros((choice_row + 1, self._blank.size), np.float32)
        script[: self.cue_steps, CUE] = 1.0
        script[: self.cue_steps, self._slots[cue_side]] = self._features[self._sample]
        script[self.cue_steps, PAD] = 1.0
        script[delay_row:choice_row, DELAY] = 1.0
        script[delay_row:choice_row, len(PHASES) :] = self._distract(delay)
        script[choice_row, CHOICE] = 1.0
        script[choice_row, self._slots[sample_side]] = self._features[self._sample]
        script[choice_row, self._slots[1 - sample_side]] = self._features[foil]

        self._script: list[Observation] = list(script)
        self._row, self._choice_row = 0, choice_row
        correct_side = sample_side if self.rule == "match" else 1 - sample_side
        self._correct_action = (LEFT, RIGHT)[correct_side]
        return self._script[0].copy()

    def _distract(self, delay: int) -> NDArray[np.float32] | float:
        if self.distractors == "noise":
            return self.np_random.random((delay, 2 * self._features.shape[1]), np.float32)
        if self.distractors == "objects":
            seen = self.np_random.integers(len(self._objects), size=(delay, 2))
            return self._features[seen].reshape(delay, 2 * self._features.shape[1])
        return 0.0

    def _summary(self) -> dict[str, Any]:
        correct = sum(choice.correct for choice in self._choices)
        return {"correct_choices": correct, "is_success": correct == self.trials}


class MatchingOracle:
    """Keeps the object of the last cue and compares the choice's left slot with it.

    :param slots: Where the left and the right slot stand in an observation.
    :param rule: ``"nonmatch"`` or ``"match"``.
    :param pad_action: The action for the pad phase.
    """

    def __init__(self, slots: tuple[slice, ...], rule: str, pad_action: int) -> None:
        self.slots = slots
        self.rule = rule
        self.pad_action = pad_action
        self.reset()

    def reset(self) -> None:
        self.seen: Observation = np.zeros(0)

    def act(self, observation: Observation) -> int:
        left, right = (observation[slot] for slot in self.slots)
        if observation[CUE]:
            # One of the two is empty, hence zeros.
            self.seen = left + right
        if observation[CHOICE]:
            sample_is_left = np.array_equal(left, self.seen)
            return LEFT if sample_is_left == (self.rule == "match") else RIGHT
        return self.pad_action if observation[PAD] else WAIT
