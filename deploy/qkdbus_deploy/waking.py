"""How a supervisord sleeps: until something is due, or a signal wakes it. supervisor's own looks once a second."""

from __future__ import annotations

import os
import select
import signal

from supervisor import poller


class Signals:
    """Signals that came and were not looked at yet (the place of supervisor's SignalReceiver)."""

    def __init__(self) -> None:
        self.pending: list[int] = []

    def receive(self, number: int, frame: object) -> None:
        """Signal handler."""
        if number not in self.pending:
            self.pending.append(number)

    def get_signal(self) -> int | None:
        """Take the oldest one."""
        return self.pending.pop(0) if self.pending else None


class WakingPoller(poller.PollPoller):  # type: ignore[misc]
    """poll(2) that a signal ends, and that lasts until something is due.

    Python repeats an interrupted poll (PEP 475), which is why supervisor sees a dead child only when its
    second is over; the wake-up pipe makes a signal an event like any other.
    """

    def initialize(self) -> None:
        """Called by the base class."""
        super().initialize()
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller.register(self.wake_read, select.POLLIN)

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Wait at most as long as the supervisor says; its fixed `timeout` is not asked."""
        readable, writable = super().poll(self.options.nap())
        if self.wake_read in readable:
            readable.remove(self.wake_read)
            os.read(self.wake_read, 4096)
        return readable, writable

    def close(self) -> None:
        """Give the pipe back."""
        signal.set_wakeup_fd(-1)
        os.close(self.wake_read)
        os.close(self.wake_write)
