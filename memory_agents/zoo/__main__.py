"""``python -m memory_agents.zoo train ...``: the zoo's own programs, with the algorithms of this library."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

import memory_agents.zoo  # noqa: F401
from memory_agents.zoo.registration import ALGORITHMS

#: Programs of the zoo that know algorithms by name.
PROGRAMS = ("train", "enjoy", "record_video")
#: What the programs themselves do without.
CONFIG_OPTIONS = ("-conf", "--conf-file")


def arguments_of(program: str, given: Sequence[str]) -> list[str]:
    """
    :param program: one of :data:`PROGRAMS`
    :param given: its arguments
    :return: the arguments, with this library's hyperparameters where training asks for one of its algorithms and for no
        other file
    """
    arguments = list(given)
    if program != "train" or any(option.split("=")[0] in CONFIG_OPTIONS for option in arguments):
        return arguments
    for place, option in enumerate(arguments):
        name, _, value = option.partition("=")
        if name == "--algo":
            algorithm = ALGORITHMS.get(value or "".join(arguments[place + 1 : place + 2]))
            if algorithm is not None:
                return [*arguments, "--conf-file", str(algorithm.config)]
    return arguments


def main() -> None:
    """
    Run a program of the zoo.

    :raises SystemExit: when the program is none of :data:`PROGRAMS`
    """
    program = sys.argv[1] if len(sys.argv) > 1 else ""
    if program not in PROGRAMS:
        sys.exit(f"usage: python -m memory_agents.zoo {{{','.join(PROGRAMS)}}} ...; got {program!r}")
    sys.argv = [f"rl_zoo3.{program}", *arguments_of(program, sys.argv[2:])]
    runpy.run_module(f"rl_zoo3.{program}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
