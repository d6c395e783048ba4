"""Quadratic equations, solved step by step (Bulatov et al. 2022, arXiv 2207.06881, section 4.1 and appendix)."""

from __future__ import annotations

from math import isqrt

import numpy as np

from memory_agents.nn.arguments import check_integers, is_finite
from memory_agents.sequence.batch import SequenceBatch
from memory_agents.sequence.tasks import Drawn, SequenceTask, task_registry

#: What equations and solutions are written with. The number of a character is its place plus one; 0 is the blank.
CHARACTERS = "0123456789+-*/^=()xD,"
#: Characters of a line; what it does not fill is blank.
LINE = 30
#: The equation, its normal form, the discriminant, the two roots, the answer.
LINES = 6


@task_registry.register("quadratic")
class Quadratic(SequenceTask):
    """
    An equation, four lines of its solution, and the answer, 30 characters each: of these 180 tokens the last 150 are
    to be foretold. Of a line its characters and the blank that ends it are scored, of an empty one the blank alone.

    ::

        -8*x^2-1232*x-45384=0
        x^2+154*x+5673=0
        D=154^2-4*1*5673=1024=32^2
        x=(-154-32)/2=-93
        x=(-154+32)/2=-61
        -93,-61

    Without real roots the last three lines are empty and the discriminant has no root.

    :param max_root: roots are whole numbers whose absolute values are smaller than this, at most 100
    :param max_factor: what the normal form is multiplied with is a whole number up to this, or its negative, at most 10
    :param no_roots: share of equations without real roots
    :raises ValueError: when an argument is out of bounds
    """

    vocabulary_size = 1 + len(CHARACTERS)
    # What is read begins with the equation's first character, and the answer's last is not read.
    length = LINE * LINES - 1

    def __init__(self, max_root: int = 100, max_factor: int = 10, no_roots: float = 0.2) -> None:
        check_integers(least=2, max_root=max_root)
        check_integers(max_factor=max_factor)
        if max_root > 100 or max_factor > 10:
            raise ValueError(
                f"max_root={max_root} and max_factor={max_factor} make lines of more than {LINE} characters; use at "
                "most 100 and 10"
            )
        if not is_finite(no_roots) or not 0.0 <= no_roots <= 1.0:
            raise ValueError(f"no_roots is {no_roots!r}; give a number from 0 to 1")
        self.max_root, self.max_factor, self.no_roots = max_root, max_factor, no_roots

    def sequences(self, n: int, rng: np.random.Generator) -> Drawn:
        numbers = {character: 1 + place for place, character in enumerate(CHARACTERS)}
        tokens = np.zeros((n, LINES, LINE), np.int64)
        scored = np.zeros((n, LINES, LINE), np.bool_)
        for row in range(n):
            for number, line in enumerate(self.lines(rng)):
                tokens[row, number, : len(line)] = [numbers[character] for character in line]
                # The equation cannot be foretold.
                scored[row, number, : len(line) + 1] = number > 0
        return tokens.reshape(n, -1), scored.reshape(n, -1)

    def answers(self, batch: SequenceBatch) -> SequenceBatch:
        scored = batch.scored.clone()
        scored[:, :-LINE] = False
        return batch._replace(scored=scored)

    def lines(self, rng: np.random.Generator) -> list[str]:
        """
        :param rng: source of randomness
        :return: the lines of one sequence
        """
        factor = int(rng.integers(1, self.max_factor + 1)) * (1 if rng.random() < 0.5 else -1)
        if rng.random() < self.no_roots:
            b = int(rng.integers(-2 * self.max_root + 1, 2 * self.max_root))
            c = int(rng.integers(b**2 // 4 + 1, self.max_root**2 + 1))
            solution = [_discriminant(b, c), "", "", ""]
        else:
            first, second = sorted(int(root) for root in rng.integers(-self.max_root + 1, self.max_root, 2))
            b, c, root = -first - second, first * second, second - first
            solution = [
                f"{_discriminant(b, c)}={root}^2",
                f"x=({-b}-{root})/2={first}",
                f"x=({-b}+{root})/2={second}",
                f"{first}" if first == second else f"{first},{second}",
            ]
        return [equation(factor, factor * b, factor * c), equation(1, b, c), *solution]


def equation(a: int, b: int, c: int) -> str:
    """
    :param a: factor of the square
    :param b: factor of the unknown
    :param c: what stands alone
    :return: the equation
    """
    terms = [(a, "x^2"), (b, "x"), (c, "")]
    return "".join(_term(factor, power) for factor, power in terms).removeprefix("+") + "=0"


def _term(factor: int, power: str) -> str:
    if factor == 0:
        return ""
    sign, size = "+" if factor > 0 else "-", abs(factor)
    if not power:
        return f"{sign}{size}"
    return f"{sign}{power}" if size == 1 else f"{sign}{size}*{power}"


def _discriminant(b: int, c: int) -> str:
    value = b**2 - 4 * c
    assert value < 0 or isqrt(value) ** 2 == value, "roots are whole numbers"
    return f"D={abs(b)}^2-4*1*{c}={value}"
