"""Object matching: see an object, wait, then tell it from another one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.envs.arguments import Span, check_flag, check_integer, check_option, check_span
from memory_agents.envs.base import Action, Frame, MemoryEnv, Observation
from memory_agents.envs.chance import below
from memory_agents.envs.object_matching_frame import Choice, Scene, draw
from memory_agents.envs.trial_script import TrialScript

PHASES = ("cue", "pad", "delay", "choice")
CUE, PAD, DELAY, CHOICE = range(4)
WAIT, LEFT, RIGHT, STEP_ON_PAD = range(4)
MAX_SHAPES, MAX_COLOURS = 12, 3
# Rows of the table of what can be seen.
PAD_LOOK, FIRST_CUE = 1, 2
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
        self._looks = _shared_looks(self.n_shapes, self.n_colours, tuple(self._objects), self.distractors)
        # A trial's sample, foil, side of the cue, side of the sample and delay; then its distractors.
        n_objects, (low, high) = len(self._objects), self.delay
        self._bounds = np.array([n_objects, n_objects - 1, 2, 2, high - low + 1])
        # How they make the looks of cue and choice, whose order is that of the table, and the right action.
        first, other = (LEFT, RIGHT) if self.rule == "match" else (RIGHT, LEFT)
        self._weights = np.array(
            [[1, 2 * (n_objects - 1), 0], [0, 2, 0], [n_objects, 0, 0], [0, 1, other - first], [0, 0, 0]]
        )
        self._offsets = np.array([FIRST_CUE, FIRST_CUE + 2 * n_objects, first])
        self._first_delay = FIRST_CUE + 2 * n_objects**2
        per_step = {"none": 0, "noise": 2 * n_features, "objects": 2}[self.distractors]
        self.draws = self.trials * (len(self._bounds) + high * per_step)

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

    def plan(self, uniforms: NDArray[np.float64]) -> TrialScript:
        """Write episodes from uniform numbers.

        :param uniforms: ``(episodes, draws)``, a row for each episode.
        """
        by_trial = uniforms.reshape(len(uniforms), self.trials, -1)
        drawn = below(by_trial[:, :, : len(self._bounds)], self._bounds)
        if self.sample == "episode":
            drawn[:, :, 0] = drawn[:, :1, 0]
        cue, choice, right = (drawn @ self._weights + self._offsets).transpose(2, 0, 1)

        pad, (low, high) = self.cue_steps, self.delay
        script = TrialScript.blank(len(uniforms), self.trials, pad + high + 2, self._noise_rows(by_trial))
        looks, asked = script.by_trial(self.trials)
        looks[:, :, :pad] = cue[:, :, None]
        looks[:, :, pad] = PAD_LOOK
        looks[:, :, pad + 1 : -1] = self._delay_looks(by_trial)
        looks[:, :, -1] = choice
        asked[:, :, pad] = STEP_ON_PAD
        asked[:, :, -1] = right
        return script if low == high else script.without_spare_delays(pad + 1, low + drawn[:, :, -1])

    def _delay_looks(self, by_trial: NDArray[np.float64]) -> NDArray[np.int64] | int:
        """Return what is seen during the longest delay of each trial, ``(episodes, trials, steps)``."""
        if self.distractors == "noise":
            return self._first_delay + np.arange(self.trials * self.delay[1]).reshape(self.trials, -1)
        if self.distractors == "objects":
            n_objects = len(self._objects)
            seen = below(by_trial[:, :, len(self._bounds) :], n_objects)
            looks: NDArray[np.int64] = self._first_delay + seen[:, :, ::2] * n_objects + seen[:, :, 1::2]
            return looks
        return self._first_delay

    def _noise_rows(self, by_trial: NDArray[np.float64]) -> NDArray[np.float32]:
        if self.distractors != "noise":
            return np.zeros((len(by_trial), 0, self._looks.shape[1]), np.float32)
        shape = (len(by_trial), self.trials, self.delay[1])
        rows = np.zeros((*shape, self._looks.shape[1]), np.float32)
        rows[..., DELAY] = 1.0
        rows[..., len(PHASES) :] = by_trial[:, :, len(self._bounds) :].reshape(*shape, rows.shape[3] - len(PHASES))
        return rows.reshape(len(by_trial), -1, rows.shape[3])

    def _begin(self, uniforms: NDArray[np.float64]) -> Observation:
        episode = self.plan(uniforms[None])
        self._script: list[Observation] = episode.observations(self._looks)
        self._asked: list[int] = episode.asked[0].tolist()
        self._choices: list[Choice] = []
        self._time = self._row = 0
        return self._script[0].copy()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        action = self._check_action(action, self.n_actions)
        self._time += 1
        asked, reward = self._asked[self._row], 0.0
        if asked != STEP_ON_PAD:
            self._row += 1
            if asked:
                correct = action == asked
                self._choices.append(Choice(action, correct))
                reward = CHOICE_REWARD if correct else -CHOICE_REWARD
        elif not self.self_paced or action == STEP_ON_PAD:
            self._row += 1
            reward = PAD_REWARD
        observation = self._script[self._row].copy()
        if len(self._choices) == self.trials:
            self._playing = False
            return observation, reward, True, False, self._summary()
        if self._time == self.time_limit:
            self._playing = False
            return observation, reward, False, True, self._summary()
        return observation, reward, False, False, {}

    def _frame(self) -> Frame:
        # When all is over the last choice stays in the picture, beside the outcome.
        chosen = [row for row, asked in enumerate(self._asked) if asked in (LEFT, RIGHT)]
        trial = min(len(self._choices), self.trials - 1)
        now, choice = min(self._row, chosen[-1]), chosen[trial]
        start = chosen[trial - 1] + 1 if trial else 0
        pad = start + self.cue_steps
        row = self._script[now]
        phase = int(row[: len(PHASES)].argmax())
        first, last = ((start, pad), (pad, pad + 1), (pad + 1, choice), (choice, choice + 1))[phase]
        return draw(
            Scene(
                phase=phase,
                step=now - first,
                steps=last - first,
                slots=tuple(row[slot] for slot in self._slots),
                n_shapes=self.n_shapes,
                rule=self.rule,
                trials=self.trials,
                choices=tuple(self._choices),
                over=not self._playing,
            )
        )

    def _summary(self) -> dict[str, Any]:
        correct = sum(choice.correct for choice in self._choices)
        return {"correct_choices": correct, "is_success": correct == self.trials}


@lru_cache(maxsize=16)
def _shared_looks(
    n_shapes: int, n_colours: int, objects: tuple[tuple[int, int], ...], distractors: str
) -> NDArray[np.float32]:
    """Return what can be seen in every episode, ``(n_looks, n_features)``.

    First nothing and the pad; then cues, left ones first; then choices, by the sample, by how far the foil is from the
    object after it, and by the sample's side; then delays: an empty one, or one for each pair of objects. With noise,
    every episode has its own.
    """
    empty, middle = len(objects), len(PHASES) + n_shapes + n_colours
    slots = np.zeros((len(objects) + 1, n_shapes + n_colours), np.float32)
    for row, (shape, colour) in zip(slots, objects, strict=False):
        row[[shape, n_shapes + colour]] = 1.0
    sample, shift, side = np.indices((empty, empty - 1, 2)).reshape(3, -1)
    foil = (sample + 1 + shift) % empty
    seen: list[tuple[Any, ...]] = [
        (PAD, empty, empty),
        (CUE, np.arange(empty), empty),
        (CUE, empty, np.arange(empty)),
        (CHOICE, np.where(side == 0, sample, foil), np.where(side == 0, foil, sample)),
    ]
    if distractors != "noise":
        pairs = np.indices((empty, empty)).reshape(2, -1)
        seen.append((DELAY, *pairs) if distractors == "objects" else (DELAY, empty, empty))
    blocks = [np.zeros((1, middle + slots.shape[1]), np.float32)]
    for phase, left, right in seen:
        block = np.zeros((np.broadcast(left, right).size, blocks[0].shape[1]), np.float32)
        block[:, phase] = 1.0
        block[:, len(PHASES) : middle], block[:, middle:] = slots[left], slots[right]
        blocks.append(block)
    table = np.vstack(blocks)
    table.flags.writeable = False
    return table


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
