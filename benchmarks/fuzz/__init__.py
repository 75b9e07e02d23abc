"""Hostile messages, by the hundred thousand, at every door of a node: what must not happen, and whether it does.

python -m benchmarks.fuzz --messages 1000000 --seed 7

`mutator` makes the messages (seeded: the same in every run), `speaker` says them, `ground` is the network that hears
them, `witness` looks whether anything came of it. tests/fuzz uses the same parts.
"""
