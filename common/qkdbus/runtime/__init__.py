"""The life of a service: settings, logs, health, start, drain, stop."""

from .life import main, run
from .room import Build, Room, Service

__all__ = ["Build", "Room", "Service", "main", "run"]
