"""Twisted's reactor, on the asyncio loop that already runs, and not before it runs.

SimulaQron imports `simulaqron.reactor`, which installs a poll reactor at once: open files in a parent that will fork,
and a second loop beside ours. `stand_in()` goes into `sys.modules` in its place.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 (for the sake of the fork, as below)
import logging
import sys
from types import ModuleType
from typing import Any

# Not used before a reactor is started, but imported before the parent forks: its memory is then shared. Importing
# installs nothing.
from twisted.internet import asyncioreactor, tcp, udp, unix  # noqa: F401
from twisted.logger import globalLogBeginner
from twisted.spread import pb
from zope.interface import implementedBy

_INSTALLED = "twisted.internet.reactor"

# What a class implements is worked out when it is first asked for; asked for here, before the parent forks.
for _kind in (asyncioreactor.AsyncioSelectorReactor, unix.Port, unix.Client, unix.Server, unix.Connector):
    implementedBy(_kind)
for _kind in (pb.Broker, pb.PBServerFactory, pb.PBClientFactory, pb.RemoteReference, pb.Referenceable):
    implementedBy(_kind)


class LateReactor:
    """Stands for the reactor in modules that import it by name; it is looked up when it is used."""

    def __getattr__(self, name: str) -> Any:
        if _INSTALLED not in sys.modules:
            raise RuntimeError("no reactor yet: start_reactor() has not run in this process")
        return getattr(sys.modules[_INSTALLED], name)


def stand_in() -> ModuleType:
    """Return a module for `sys.modules["simulaqron.reactor"]`."""
    module = ModuleType("simulaqron.reactor", "Resolved when used: see qkdbus_qbackend.emulators.simulaqron.")
    module.reactor = LateReactor()  # type: ignore[attr-defined]
    return module


def start_reactor(loop: asyncio.AbstractEventLoop, log: logging.Logger) -> Any:
    """Put a reactor on the running `loop` and return it; the same one when it is there already."""
    if _INSTALLED in sys.modules:
        reactor: Any = sys.modules[_INSTALLED]
        if getattr(reactor, "_asyncioEventloop", None) is not loop:
            raise RuntimeError("another reactor is installed in this process")
        return reactor
    _take_over_log(log)
    asyncioreactor.install(loop)
    reactor = sys.modules[_INSTALLED]
    reactor.startRunning(installSignalHandlers=False)  # the loop runs already: no reactor.run()
    return reactor


def _take_over_log(log: logging.Logger) -> None:
    """Send Twisted's failures to our log by their type alone: a traceback may hold what nobody should read."""

    def observe(event: dict[str, Any]) -> None:
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            kind = getattr(getattr(failure, "type", None), "__name__", "unknown")
            log.warning("twisted_failure", extra={"kind": kind, "where": str(event.get("log_namespace", ""))})

    globalLogBeginner.beginLoggingTo([observe], discardBuffer=True, redirectStandardIO=False)
