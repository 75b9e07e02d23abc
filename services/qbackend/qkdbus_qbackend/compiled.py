"""Importing this compiles what exchanges on photonic links run: once on a machine, then it comes from numba's cache.

Compiling takes many seconds, in which a worker would look dead. So the parent of all services imports this before it
forks them, or else a worker does so in a thread before it says that it is ready. A small block is distilled, both ends
in one process, for that touches every kernel in the way in which exchanges do.
"""

from __future__ import annotations

import os

import numpy as np

from .distil import amplify, reconcile, verify
from .distil.field import evaluator
from .emulators.photonic.kernels import warm
from .protocols.bb84_kernels import kernels
from .protocols.talk import converse

_BITS = 1 << 17


def _distil() -> None:
    """Take a block of noise through the kernels of distillation."""
    ours = np.frombuffer(bytearray(os.urandom(_BITS // 8)), np.uint8)
    theirs = ours.copy()
    theirs[:: len(theirs) // 256] ^= 1
    method = reconcile.method(reconcile.DEFAULT)
    found = converse(
        method.source(ours, _BITS, 0.01, os.urandom, fast=True), method.sink(theirs, _BITS, 0.01, fast=True)
    )
    converse(verify.source(ours, os.urandom, fast=True), verify.sink(found[1].octets, fast=True))
    hashed = _BITS // 2
    converse(amplify.source(ours, _BITS, hashed, os.urandom, fast=True), amplify.sink(theirs, _BITS, hashed, fast=True))
    evaluator(fast=True)(np.ones(1024, np.uint64), 3)


def _sift() -> None:
    words = np.ones(1024, np.uint64)
    compress, ones = kernels(True)[:2]
    compress(words, words)
    ones(words)


_distil()
_sift()
warm()
