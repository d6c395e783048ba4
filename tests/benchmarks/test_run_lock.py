from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.output import LOCK_FILE, OWNER_FILE
from memory_agents.benchmarks.run_lock import RunBusyError, hold
from memory_agents.benchmarks.training import train

# As hold() does it, without the seconds that importing the library takes.
HOLDER = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1], timeout=0)
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_one_holds_and_others_are_told_who(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with hold(folder):
        owner = json.loads((folder / OWNER_FILE).read_text())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        with (
            pytest.raises(RunBusyError, match=f"in use by process {os.getpid()} on {socket.gethostname()}"),
            hold(folder),
        ):
            raise AssertionError("held twice")
        assert (folder / OWNER_FILE).exists()
    assert not (folder / OWNER_FILE).exists()
    with hold(folder):
        pass


def test_an_error_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path):
        raise ZeroDivisionError
    with hold(tmp_path):
        pass


def test_who_has_died_holds_nothing(tmp_path: Path) -> None:
    args = [sys.executable, "-c", HOLDER, str(tmp_path / LOCK_FILE)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunBusyError, match="in use by another process"), hold(tmp_path):
            raise AssertionError("held twice")
        # What one leaves who was not asked first.
        (tmp_path / OWNER_FILE).write_text(json.dumps({"pid": holder.pid, "host": "here"}))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with hold(tmp_path):
        assert json.loads((tmp_path / OWNER_FILE).read_text())["pid"] == os.getpid()


def test_training_keeps_out_of_a_folder_in_use(tmp_path: Path) -> None:
    config = TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 3}, policy="MlpPolicy", n_envs=2, device="cpu")
    with hold(tmp_path), pytest.raises(RunBusyError):
        train(config, tmp_path, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {LOCK_FILE}
