"""Small layers for tests and checks: each keeps its contract over real sockets, and does what it is told."""
