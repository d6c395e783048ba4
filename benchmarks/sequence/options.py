"""Options that all commands with runs on sequences have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Folder for the runs; those that it already holds are not repeated.")]
Seeds = Annotated[list[str], typer.Option("--seeds", "--seed", help="Seeds, as 0,1,2 (repeatable).")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Autocast = Annotated[str | None, typer.Option(help="bfloat16, to compute products in that format.")]
