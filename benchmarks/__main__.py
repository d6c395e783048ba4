"""Entry point of ``memory-bench``, which is also ``python -m memory_agents.benchmarks``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

EXTRA = ("filelock", "jinja2", "matplotlib", "PIL", "rich", "tensorboard", "tqdm", "typer")


def main(args: Sequence[str] | None = None) -> None:
    """
    :param args: command-line arguments (default: those of the process)
    :raises SystemExit: always, with the exit code
    """
    missing = [module for module in EXTRA if find_spec(module) is None]
    if missing:
        print(
            f"memory-bench needs {', '.join(missing)}; install the extra: pip install 'memory_agents[bench]'",
            file=sys.stderr,
        )
        sys.exit(1)

    # Only now: the command line is built with the extra's modules.
    from memory_agents.benchmarks.cli import run

    sys.exit(run(args))


if __name__ == "__main__":
    main()
