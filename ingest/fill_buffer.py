"""Fills that ROOT had kept in a histogram's buffer when it was written, put into its bins as ROOT would."""

from owtrend.errors import SnapshotError


def flushed(*a):
    raise SnapshotError("its entries are in an unflushed fill buffer, which is not read yet")
