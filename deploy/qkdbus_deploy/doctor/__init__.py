"""The usual faults, looked for one by one: each check is a function that returns what it found.

`here.py` is about this machine, `running.py` about a network that is deployed, `left.py` about what is left over of
others, `hosts.py` about the hosts of an inventory. `examine.py` makes them in order.
"""
