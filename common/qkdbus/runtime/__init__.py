"""The life of a service: settings, logs, health, start, drain, stop."""
