"""Watching a network: samples of it, the live table and the Prometheus text made of them, and its events."""
