"""Memory that an update gives back, for the next update."""

from __future__ import annotations

import torch as th

#: Floats of just below 32 MiB, the most by which glibc can be taught.
_LESSON = 2**23 - 2**12


def keep_heap() -> None:
    """
    Make the C library keep what it is given back: glibc returns it to the system, which clears it, page by page, when
    it is asked for it again in the next update. It learns from the largest piece that was ever given back, up to 32
    MiB, how large pieces usually are, and keeps twice as much (``mallopt(3)``, on ``M_MMAP_THRESHOLD``); so it is given
    one of that size, which costs nothing as nobody writes to it. For the process; without glibc nothing happens.
    """
    th.empty(_LESSON)
