"""How every socket of ours is set: nothing lingers but last words, dead TCP peers are noticed, one size limit."""

from __future__ import annotations

import zmq

LARGEST = 32 << 20  # octets in one message, between layers
LARGEST_FROM_APPLICATIONS = 64 << 10
LARGEST_FROM_NEIGHBOURS = 4 << 20
WAITING_FROM_OUTSIDE = 256  # messages of one connection that wait in memory; more wait at the sender's
LAST_WORDS_MS = 100  # that what is said before a close has to leave
# A peer is given up 4 s after it was last heard: s of silence, s between probes, probes; ms for what it does not take.
_KEEP_ALIVE = {
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 2,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 2,
    zmq.TCP_MAXRT: 4_000,
}


def router(context: zmq.Context[zmq.Socket[bytes]], largest: int = LARGEST) -> zmq.Socket[bytes]:
    """Return a ROUTER that tells of peers that have gone instead of dropping their messages silently."""
    socket = _common(context.socket(zmq.ROUTER), largest)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.SNDHWM, 20_000)
    socket.setsockopt(zmq.RCVHWM, 20_000)
    return socket


def narrow(socket: zmq.Socket[bytes], largest: int = LARGEST_FROM_APPLICATIONS) -> None:
    """Let a ROUTER that is about to bind take only what those outside may need: its memory is not theirs to fill."""
    socket.setsockopt(zmq.MAXMSGSIZE, largest)
    socket.setsockopt(zmq.RCVHWM, WAITING_FROM_OUTSIDE)


def dealer(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """Return a DEALER that keeps nothing for a peer that is not there."""
    socket = _common(context.socket(zmq.DEALER))
    socket.setsockopt(zmq.IMMEDIATE, 1)
    return _patient(socket)


def requester(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """Return a REQ that may ask again, and that discards answers to what it asked before."""
    socket = _common(context.socket(zmq.REQ))
    socket.setsockopt(zmq.REQ_RELAXED, 1)
    socket.setsockopt(zmq.REQ_CORRELATE, 1)
    return _patient(socket)


def _common(socket: zmq.Socket[bytes], largest: int = LARGEST) -> zmq.Socket[bytes]:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, largest)
    # No heartbeats of ZeroMQ: when a peer has filled its queue and then goes, libzmq 4.3.5 aborts the process at the
    # next one (out_event after an error of input). The kernel misses a peer that is gone in the same time.
    for option, value in _KEEP_ALIVE.items():
        socket.setsockopt(option, value)
    # A door answers "not now" by silence (see Gatekeeper): try again then, not after libzmq's 30 s.
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2_000)
    return socket


def _patient(socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    return socket
