"""A stand-in for osmclient, which is on no package index: the documented calls, and the documented faults."""
