"""By what the live table can be sorted."""

SORTS = ("name", "cpu", "memory", "restarts", "rate")
