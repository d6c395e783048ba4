"""What arrays and NumPy's numbers are as arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th

from memory_agents.envs.arguments import check_integer, check_span


@pytest.mark.parametrize("value", [np.int64(3), np.array(3), th.tensor(3)])
def test_integers_of_other_kinds_become_plain_ones(value: Any) -> None:
    assert type(check_integer("size", value, 1)) is int
    assert check_span("size", value, 1) == (3, 3)


@pytest.mark.parametrize("value", [np.array([2, 8]), np.array(3.0), th.tensor(3.0)])
def test_arrays_that_are_no_integer_are_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"size=.* is not an integer: pass an integer from 1 to 9"):
        check_integer("size", value, 1, 9)
    with pytest.raises(ValueError, match=r"size=.* is not an integer: pass an integer of at least 1"):
        check_span("size", value, 1)
