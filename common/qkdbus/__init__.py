"""The common ground of qkdbus: everything that two layers share, and nothing else."""

__version__ = "0.1.0"
