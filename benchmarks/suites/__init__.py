"""Suites of environments by others. Each is a file here; it is imported only when one of its ids is asked for."""

from __future__ import annotations

from contextlib import suppress

from memory_agents.benchmarks.suites import bsuite, memory_gym, minigrid, popgym
from memory_agents.benchmarks.suites.suite import Suite
from memory_agents.benchmarks.suites.wrappers import reports_success

__all__ = ["SUITES", "Suite", "load_installed_suites", "reports_success", "suite_of"]

SUITES: tuple[Suite, ...] = (popgym.SUITE, minigrid.SUITE, bsuite.SUITE, memory_gym.SUITE)


def suite_of(env_id: str) -> Suite | None:
    """
    :param env_id: an environment id, registered or not
    :return: the suite it belongs to, installed or not; None for all other ids
    """
    return next((suite for suite in SUITES if suite.owns(env_id)), None)


def load_installed_suites() -> None:
    """Register the ids of all suites that are installed and can be imported."""
    for suite in SUITES:
        with suppress(ImportError):
            suite.load()
