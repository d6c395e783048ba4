"""The package list in pyproject.toml is written by hand, because of the folders that install under another name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import memory_agents

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
TOP_FOLDERS = {"memory_agents": "memory_agents", "memory_agents.envs": "envs", "memory_agents.benchmarks": "benchmarks"}


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages_in_tree() -> set[str]:
    found = set()
    for package, folder in TOP_FOLDERS.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            parts = path.parent.relative_to(ROOT / folder).parts
            # The symlinked folders are packages of their own; whether rglob enters them depends on the Python version.
            if not (package == "memory_agents" and parts[:1] in (("envs",), ("benchmarks",))):
                found.add(".".join([package, *parts]))
    return found


def test_every_package_is_listed(pyproject: dict[str, Any]) -> None:
    listed = pyproject["tool"]["setuptools"]["packages"]

    assert len(listed) == len(set(listed))
    assert set(listed) == packages_in_tree()


def test_every_module_lies_in_a_package() -> None:
    orphans = [
        path
        for folder in TOP_FOLDERS.values()
        for path in (ROOT / folder).rglob("*.py")
        if not (path.parent / "__init__.py").is_file()
    ]

    assert not orphans


def test_top_level_folders_are_mapped(pyproject: dict[str, Any]) -> None:
    assert pyproject["tool"]["setuptools"]["package-dir"] == TOP_FOLDERS


@pytest.mark.parametrize("folder", TOP_FOLDERS.values())
def test_type_information_is_shipped(folder: str, pyproject: dict[str, Any]) -> None:
    assert (ROOT / folder / "py.typed").is_file()
    assert "py.typed" in pyproject["tool"]["setuptools"]["package-data"]["*"]


def test_suites_of_runs_are_shipped(pyproject: dict[str, Any]) -> None:
    patterns = pyproject["tool"]["setuptools"]["package-data"]["memory_agents.benchmarks"]
    shipped = {path for pattern in patterns for path in (ROOT / "benchmarks").glob(pattern)}

    assert set((ROOT / "benchmarks").rglob("*.toml")) <= shipped


@pytest.mark.parametrize("folder", ["envs", "benchmarks"])
def test_a_bare_checkout_sees_the_installed_names(folder: str) -> None:
    link = ROOT / "memory_agents" / folder

    assert link.is_symlink()
    assert link.readlink() == Path("..", folder)


def test_pages_have_their_templates(pyproject: dict[str, Any]) -> None:
    assert pyproject["tool"]["setuptools"]["package-data"]["memory_agents.benchmarks.report"] == ["templates/*"]
    assert (ROOT / "benchmarks" / "report" / "templates" / "base.html").is_file()


def test_version_is_the_same_everywhere(pyproject: dict[str, Any]) -> None:
    version = pyproject["project"]["version"]

    assert memory_agents.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert version in (ROOT / "CHANGELOG.md").read_text()


def test_dev_extra_has_all_of_bench(pyproject: dict[str, Any]) -> None:
    assert "memory_agents[bench]" in pyproject["project"]["optional-dependencies"]["dev"]
