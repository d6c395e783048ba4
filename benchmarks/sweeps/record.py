"""What a sweep leaves beside its runs: what was asked for, and the table of what came out."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.collect import collect, markdown
from memory_agents.benchmarks.config import CONFIG_FILE, hardware, versions
from memory_agents.benchmarks.dotted import import_from_here
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.output import make_folder
from memory_agents.benchmarks.provenance import commit, source_hashes
from memory_agents.benchmarks.runs import read_runs
from memory_agents.benchmarks.sweeps.plan import PlannedRun
from memory_agents.benchmarks.sweeps.suite_file import SuiteFile

#: Where they are, in the folder of the runs.
FOLDER = "sweeps"


def record_path(suite: SuiteFile, runs: Sequence[PlannedRun], out: Path) -> Path:
    """
    :param suite: the suite
    :param runs: all runs that were asked for
    :param out: folder of the runs
    :return: file for what was asked for: ``sweeps/SUITE-HASH.json``, the same for the same runs
    """
    names = "\n".join(sorted(run.folder.name for run in runs))
    return out / FOLDER / f"{suite.name}-{hashlib.sha256(names.encode()).hexdigest()[:8]}.json"


def save_record(suite: SuiteFile, runs: Sequence[PlannedRun], command: Sequence[str], path: Path) -> None:
    """
    Write what was asked for: the command, the suite's text, the runs' folders; and by which code and machine.

    :param suite: the suite
    :param runs: all runs that were asked for
    :param command: the command's words
    :param path: the file
    """
    text = {
        "suite": suite.name,
        "command": shlex.join(command),
        "runs": [run.folder.name for run in runs],
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(),
        "text": suite.text,
    }
    make_folder(path.parent)
    write_whole(path, json.dumps(text, indent=2) + "\n")


def save_table(runs: Sequence[PlannedRun], path: Path) -> str:
    """
    :param runs: finished runs
    :param path: file for the table; it has nothing in it that depends on the clock
    :return: the table, as Markdown
    """
    text = markdown(collect(read_runs(run.folder for run in runs), "scores"))
    write_whole(path, text + "\n")
    return text


def other_code(runs: Sequence[PlannedRun]) -> list[str]:
    """
    :param runs: finished runs
    :return: warnings where they were made by other code than what runs now
    """
    now = commit()
    commits: Counter[str | None] = Counter()
    modules: Counter[str] = Counter()
    for run in runs:
        written = json.loads((run.folder / CONFIG_FILE).read_text())
        commits[written.get("commit")] += 1
        then = written.get("sources", {})
        for module in then:
            # Where nothing is left to do nobody has imported it; one that is gone has changed no result.
            with suppress(UsageError):
                import_from_here("sources", module)
        current = source_hashes(run.config.policy, run.config.algorithm, run.config.env, run.config.memory_class or "")
        modules.update(module for module in current if then.get(module, current[module]) != current[module])
    mend = "choose another --out to have all of one"
    return [
        *(
            f"{n} of the finished runs are of commit {old}, this is {now}; {mend}"
            for old, n in commits.items()
            if old != now
        ),
        *(f"{module} was another one when {n} of the finished runs were made; {mend}" for module, n in modules.items()),
    ]
