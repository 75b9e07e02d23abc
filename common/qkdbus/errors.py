"""Failures, named by what the caller may do. `Server` turns them into an answer's outcome and back.

Refused        malformed, unknown, or against the contract: do not ask again like this.
Unauthorised   this caller may not ask for this (a kind of Refused).
Exhausted      nothing to give now: ask later.
Unavailable    something that the layer needs is not there now: ask later.
Silent         no answer within the caller's patience: nobody there, or the network is cut.
Failed         a fault in the layer that was asked; its log says more.
BadFile        a file of the user's is wrong: says file, line, and what would be right.
"""

from __future__ import annotations


class QkdbusError(Exception):
    """Any failure that qkdbus names."""


class Refused(QkdbusError):
    """Raised when a request is malformed or against the contract: asking again like this is no use."""


class Unauthorised(Refused):
    """Raised when the caller may not ask for this."""


class Exhausted(QkdbusError):
    """Raised when there is nothing to give now: ask later."""


class Unavailable(QkdbusError):
    """Raised when the layer is up and something it needs is not: ask later."""


class Silent(QkdbusError):
    """Raised when no answer came within the caller's patience."""


class Failed(QkdbusError):
    """Raised when the layer that was asked has a fault; its log says more."""


class BadFile(QkdbusError):
    """Raised when a file of the user's is wrong; the text says where and how to mend it."""
