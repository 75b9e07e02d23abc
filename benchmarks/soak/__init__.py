"""An hour at steady load: does anything grow, or get slower?

python -m benchmarks.soak [--minutes 60] [--report docs/soak.md]

`load` is what the network is asked all the while, `gauges` what is read of it, `trend` the line through each series and
the verdict, `page` what is written. Leave the machine alone meanwhile.
"""
