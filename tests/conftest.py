"""Settings for all tests."""

import os

import pytest
import torch as th
from hypothesis import settings

# Small networks run fastest on one thread, and one thread makes sums reproducible.
th.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("default", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=1_000)
# Continuous integration runs the same examples every time, so that what fails there is what was changed.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    th.manual_seed(0)
