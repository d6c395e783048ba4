"""Key to door: take a key, eat apples, then open the door that the key fits."""

from __future__ import annotations

from typing import ClassVar

from memory_agents.envs.arguments import Span, check_flag
from memory_agents.envs.three_phase import ThreePhase


class KeyToDoor(ThreePhase):
    """Take a coloured key, eat apples for a while, then open the door of the key's colour.

    **Task.** After Hung et al. (2019, https://arxiv.org/abs/1810.06721), on a grid as in Ni et al. (2023,
    https://arxiv.org/abs/2307.03864), in rooms of our own. Taking the key earns nothing until much later, which makes
    this a task of credit assignment. The original has one key and one door, and a player without memory solves it:
    see the key, take it; see the door, open it. Coloured doors ask for memory as well, so a score above 0 shows that
    the key is taken, and a score of 1 that its colour is remembered. Three phases follow one another by the clock, and
    each begins at a place of its own that nothing earlier decides.

    - Look, ``look_steps`` steps: a room of five by five cells, with a key somewhere at its northern wall. The agent
      starts in the middle and sees the key at once; with ``active=True`` it starts at the southern wall and has to go
      two cells north to see it. It takes the key by stepping on it; from then on nothing shows whether it is carried.
    - Apples, ``distractor_steps`` steps: a room of three by three cells with one apple. When it is eaten another
      appears, always two steps away, at random.
    - Choose, at most ``choice_steps`` steps: a room of five by five cells, the agent in the middle, and one door of
      each colour two steps away from it. Which colour is where is drawn anew. The first door touched is the choice; it
      opens to the key of its colour.

    **Observation.** The five by five cells around the agent, which stands in the middle; north is up.
    ``Box(0, 1, (25 * (4 + n_colours),), float32)``: for each cell, row by row, wall, apple, key and door as one-hot
    and the colour of key or door as one-hot; floor is zeros. With ``observation="image"``
    ``Box(0, 255, (40, 40, 3), uint8)``: eight by eight pixels a cell.

    **Actions.** ``Discrete(4)``: 0 east, 1 north, 2 west, 3 south; walls stop the agent, and
    :meth:`action_masks` has the moves that they do not stop.

    **Rewards.** 1 for opening the door, else 0. All apples that can be eaten, ``distractor_steps // 2`` of them, give
    ``apple_total`` together, each the same.

    **Ends.** Terminated when a door is touched, or when the last phase is over. The info of the last step holds
    ``final_reward`` (the return without apples), ``apples`` (how many were eaten), ``key_taken`` and ``is_success``.

    **Anchors.** Optimal ``apple_total + 1``; memoryless ``apple_total + 1 / n_colours``: a player without memory takes
    the key, eats all apples, since the whole room is in sight, and guesses a door. Who leaves the key gets
    ``apple_total`` at best, a score of ``-1 / (n_colours - 1)``. Random: computed exactly.

    :param active: Whether the agent must find the key before it can take it.
    :param n_colours: Number of colours, 2 to 6.
    :param look_steps: Steps of the first phase; at least 4, with ``active=True`` at least 6.
    :param distractor_steps: Steps of the second phase: a number of at least 2, or an inclusive range ``(low, high)``
        to draw from in every episode.
    :param choice_steps: Steps of the last phase, at least 2.
    :param apple_total: Reward of all apples together. With 0 they only distract.
    :param observation: ``"symbolic"`` or ``"image"``.
    :param render_mode: None or ``"rgb_array"``. Frames also show the spectator whether the key is carried.
    :raises ValueError: If an argument is out of bounds.
    """

    tags: ClassVar[tuple[str, ...]] = ("object", "credit assignment")
    met, chosen = "key", "door"

    def __init__(
        self,
        *,
        active: bool = False,
        n_colours: int = 3,
        look_steps: int = 12,
        distractor_steps: Span = 30,
        choice_steps: int = 8,
        apple_total: float = 0.0,
        observation: str = "symbolic",
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            active=check_flag("active", active),
            least_look_steps=6 if active else 4,
            n_colours=n_colours,
            look_steps=look_steps,
            distractor_steps=distractor_steps,
            choice_steps=choice_steps,
            apple_total=apple_total,
            observation=observation,
            render_mode=render_mode,
        )
