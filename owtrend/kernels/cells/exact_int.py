"""Numbers that a smaller type holds exactly."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["are_int32"]


# One pass: 2 us for 5,000 float32 where NumPy's five take 15. (One AMD core.)
@compiled
def are_int32(values: NDArray[np.floating]) -> bool:
    """True if all ``values``, shape ``(cell,)``, are whole numbers of 32 bits; NaN and -0.0 are not."""
    exact = True
    for i in range(len(values)):
        x = values[i]
        whole = np.int32(x)
        # Both ends, for beyond them the compiler may make of the comparison one with the truncated float.
        inside = (x >= -2147483648.0) & (x < 2147483648.0)
        exact &= inside & (x == whole) & ((x != 0) | ~np.signbit(x))  # 1 / -0.0 would raise; its sign shows it
    return exact
