from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from memory_agents.benchmarks import provenance
from memory_agents.benchmarks.provenance import commit, source_hashes


def git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True, text=True).stdout


def test_commit_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "provenance.py"
    file.write_text("a = 1\n")
    monkeypatch.setattr(provenance, "__file__", str(file))
    asked = commit.__wrapped__
    assert asked() is None

    # A repository that does not know the file, as when the library lies in a .venv of the user's.
    git(tmp_path, "init", "-q")
    (tmp_path / "thesis.tex").touch()
    git(tmp_path, "add", "thesis.tex")
    git(tmp_path, "commit", "-qm", "one")
    assert asked() is None

    git(tmp_path, "add", "provenance.py")
    git(tmp_path, "commit", "-qm", "two")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    assert asked() == head
    file.write_text("a = 2\n")
    assert asked() == f"{head}+changes"


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit.__wrapped__() is None


def test_sources_of_named_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_agents.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert source_hashes("some_agents:A", "PPO") == {}
    __import__("some_agents")
    try:
        found = source_hashes("some_agents:A", "some_agents:B", "PPO", "MemoryAgents/TMaze-v0")
    finally:
        del sys.modules["some_agents"]
    assert found == {"some_agents": hashlib.sha256(b"A = 1\n").hexdigest()}
