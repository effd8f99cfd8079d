"""Bytes of an object of known layout -> numbers: fixed bytes are compared, the others put into native order."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["take"]

_OFFSET, _WIDTH, _COUNT, _TARGET = range(4)


# By whole words: 40 GB/s, where NumPy's swapping copy makes 13 and a loop over bytes 4. (One AMD core, 5,000 float32.)
# `frombuffer`, as `view` takes 2 s longer to compile.
@compiled
def take(data: NDArray[np.uint8], fixed: NDArray[np.uint8], fields: NDArray[np.int64], out: NDArray[np.uint8]) -> bool:
    """Compare ``data`` with ``fixed`` outside ``fields``, and put these into ``out`` in native order.

    Parameters
    ----------
    data
        Bytes of an object, shape ``(length,)``.
    fixed
        The expected bytes outside ``fields``, joined.
    fields
        Runs of big-endian numbers, shape ``(field, 4)``: offset in ``data``, width of a number [bytes], count, and
        offset in ``out``. In order of offset, not overlapping.
    out
        Result; complete only if True is returned.

    Returns
    -------
    :
        True if all fixed bytes are as expected.
    """
    position = 0
    compared = 0
    for f in range(len(fields) + 1):
        begin = fields[f, _OFFSET] if f < len(fields) else len(data)
        difference = np.uint8(0)
        for i in range(begin - position):
            difference |= data[position + i] ^ fixed[compared + i]
        if difference:
            return False
        compared += begin - position
        if f == len(fields):
            break
        width, count, target = fields[f, _WIDTH], fields[f, _COUNT], fields[f, _TARGET]
        position = begin + width * count
        stop = target + width * count
        if width == 8:
            eights = np.frombuffer(data[begin:position], np.uint64)
            into_eights = np.frombuffer(out[target:stop], np.uint64)
            for i in range(count):
                x = eights[i]
                x = ((x >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)) | (
                    (x & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)
                )
                x = ((x >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)) | (
                    (x & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)
                )
                into_eights[i] = (x >> np.uint64(32)) | (x << np.uint64(32))
        elif width == 4:
            fours = np.frombuffer(data[begin:position], np.uint32)
            into_fours = np.frombuffer(out[target:stop], np.uint32)
            for i in range(count):
                y = fours[i]
                y = ((y >> np.uint32(8)) & np.uint32(0x00FF00FF)) | ((y & np.uint32(0x00FF00FF)) << np.uint32(8))
                into_fours[i] = (y >> np.uint32(16)) | (y << np.uint32(16))
        elif width == 2:
            twos = np.frombuffer(data[begin:position], np.uint16)
            into_twos = np.frombuffer(out[target:stop], np.uint16)
            for i in range(count):
                into_twos[i] = (twos[i] >> np.uint16(8)) | (twos[i] << np.uint16(8))
        else:
            for i in range(width * count):  # as one assignment it takes 6 s longer to compile
                out[target + i] = data[begin + i]
    return True
