"""What Ansible would print, said to qkdbus instead: which host's worker failed, and why.

A line of JSON to the Unix socket that $QKDBUS_HANDS names: {"lost": host, "text": why}.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from typing import Any

from ansible import constants  # type: ignore[import-untyped]
from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

DOCUMENTATION = """
    name: qkdbus_hands
    type: stdout
    short_description: tells qkdbus which hosts failed
    description: [Failures go to the socket of the qkdbus command that started Ansible.]
    extends_documentation_fragment: [default_callback]
"""
POLL = 0.02  # s between two looks at the workers; Ansible's own 1 ms would take a part of a core as long as we live


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Prints nothing."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "qkdbus_hands"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Be quiet while the workers work: Ctrl-C is for the command that started us, which ends us."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        constants.DEFAULT_INTERNAL_POLL_INTERVAL = POLL

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Pass it on."""
        self._lost(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Pass it on."""
        self._lost(result)

    def _lost(self, result: Any) -> None:
        host = result.host if hasattr(result, "host") else result._host  # before ansible-core 2.19
        said = result.result if hasattr(result, "result") else result._result
        with socket.socket(socket.AF_UNIX) as link, suppress(OSError):
            link.connect(os.environ["QKDBUS_HANDS"])
            link.sendall(json.dumps({"lost": host.get_name(), "text": str(said.get("msg", ""))}).encode() + b"\n")
