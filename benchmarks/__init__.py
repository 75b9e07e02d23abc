"""What qkdbus reaches on a machine, each figure beside a baseline of the same run. `python -m benchmarks.all`."""
