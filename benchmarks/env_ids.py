"""Environment ids: which are known, and what has to be imported for one."""

from __future__ import annotations

import gymnasium as gym

from memory_agents.benchmarks.arguments import UsageError, check_name
from memory_agents.benchmarks.dotted import import_from_here
from memory_agents.benchmarks.suites import load_installed_suites, suite_of


def check_env(env_id: str) -> str:
    """
    Import what the id needs: its suite, where it belongs to one, or the module of ``module:id``.

    :param env_id: a registered id, an id of a suite, or ``module:id``
    :return: the id
    :raises UsageError: when it is unknown, or what it needs is not installed
    :raises BrokenCodeError: when its module is there and cannot be imported
    """
    module, colon, name = env_id.rpartition(":")
    suite = suite_of(env_id)
    try:
        if suite is not None:
            suite.load()
    except ImportError as error:
        raise UsageError(f"--env {env_id!r}: {error}") from error
    if colon:
        import_from_here(f"--env {env_id!r}", module)
    if name not in gym.registry:
        load_installed_suites()
    check_name("--env", name, gym.registry, "see memory-bench list --envs; your own is module:ID")
    return env_id
