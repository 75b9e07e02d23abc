"""Networks under fire: random faults of every kind, while applications fetch keys at both ends of every stream.

    python -m benchmarks.chaos [--nodes 3|8] [--minutes 10] [--seed N] [--report docs/chaos.md]

What happened is judged by the applications' own records alone (check.py). The page says which faults there were and
how long each kind takes to get over. Needs no root; with root, disks are really full and packets really lost.
"""
