"""
How many rows matrix products get, so that the rounding in one environment does not depend on the others. The law tests
watch over it.
"""

from __future__ import annotations

import math

#: Matrix products of fewer rows take other code paths and round differently, and then an environment's numbers would
#: depend on how many episodes start in the others.
ROW_MULTIPLE = 4
#: Elements that the widest vector instructions take at a time, twice unrolled; what is left over rounds differently.
VECTOR_LENGTH = 32


def row_multiple(*widths: int) -> int:
    """
    :param widths: lengths of the rows that are computed element by element
    :return: what the number of rows must be a multiple of, so that only whole vectors are computed
    """
    return max(ROW_MULTIPLE, VECTOR_LENGTH // math.gcd(*widths, VECTOR_LENGTH))
