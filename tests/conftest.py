"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A test says the same in every run, and on a machine however busy: the examples are those of the last run, and none is
# bound to a time.
settings.register_profile("qkdbus", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("qkdbus")

# A shell has what it runs in the background ignore Ctrl-C, and so would all commands that are started here to be
# interrupted. Those that are started by a process with a handler have the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
