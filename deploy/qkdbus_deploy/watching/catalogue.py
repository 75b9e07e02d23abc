"""The metrics that are exported: name, kind and meaning of each, and what of `describe` it is made of.

Names follow Prometheus's rules: units at the end, `_total` for what only grows. What a service of somebody else's says
beyond these is exported under the last three names, with its own name as a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qkdbus.contracts import dispatcher, emulator, keymanager, keysync, qbackend

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Metric:
    """One name. `source`: its name in `describe`, or "" when it comes from elsewhere."""

    name: str
    kind: Kind
    help: str
    source: str = ""


def _counter(name: str, help: str, source: str = "") -> Metric:
    return Metric(f"qkdbus_{name}_total", "counter", help, source)


def _gauge(name: str, help: str, source: str = "") -> Metric:
    return Metric(f"qkdbus_{name}", "gauge", help, source)


def _histogram(name: str, help: str, source: str) -> Metric:
    return Metric(f"qkdbus_{name}", "histogram", help, source)


BUILD = _gauge("build_info", "1; the version of qkdbus that was asked is a label.")
SCRAPE = _gauge("scrape_duration_seconds", "How long it took to ask all services.")
NODE_UP = _gauge("node_up", "1 while the node's supervisord runs.")
NODE_RESTARTS = _counter("node_restarts", "Restarts of the node's supervisord since its warm parent was started.")
SERVICE_UP = _gauge("service_up", "1 while the service answers and is ready.")
RESTARTS = _counter("service_restarts", "Restarts of the service since its node's supervisord was started.")
UPTIME = _gauge("service_uptime_seconds", "Since the service's process was started.")
CPU = _counter("process_cpu_seconds", "Processor time of the service's process, in user and kernel mode.")
RESIDENT = _gauge("process_resident_memory_bytes", "Memory that the process can see, shared pages included.")
PROPORTIONAL = _gauge("process_proportional_memory_bytes", "Memory of the process; its part of shared pages.")
FILES = _gauge("process_open_files", "Open file descriptors of the process.")
CALLS = _counter("calls", "Calls that came in, by method.")
PARCELS = _counter("parcels_dropped", "Parcels of neighbours' workers that were of no use, by reason.")
OTHER_COUNTER = _counter("other", "A counter that a service of somebody else's has; its name is a label.")
OTHER_GAUGE = _gauge("other", "A gauge that a service of somebody else's has; its name is a label.")
OTHER_HISTOGRAM = Metric(
    "qkdbus_other_values", "histogram", "A histogram that a service of somebody else's has; its name is a label."
)

COUNTERS = (
    _counter("refusals", "Calls that were not carried out, by outcome; malformed: no call at all.", "refusals"),
    _counter("faults", "Faults of the service itself: its log says more.", "faults"),
    _counter("answers_unsent", "Answers whose caller had gone, or did not read.", "unsent"),
    _counter("door_refusals", "Connections of strangers that were turned away.", "refused_at_door"),
    _counter("turned_away", "Calls of those who ask more than their limits allow.", "turned_away"),
    _counter("connections_ended", "Connections that were too many.", "connections_ended"),
    _counter("slow_readers_ended", "Connections whose other end did not read its answers.", "slow_readers_ended"),
    _counter("keys_changed", "Times that the node's own credential was exchanged.", "keys_changed"),
    _counter("events", "Events that were published.", "events"),
    _counter("events_missed", "Events of the layer below that this service has missed.", "events_missed"),
    _counter("events_not_kept", "Events that could not be written to the event log.", "events_not_kept"),
    _counter("traces_not_logged", "Watched calls that were too many to log each.", "traces_not_logged"),
    _counter("keys_delivered", "Keys given to applications.", "keys_delivered"),
    _counter("keys_expired", "Keys whose time to live ended before anybody fetched them.", "keys_expired"),
    _counter("takes", "Takes of key bits from keysync.", "takes"),
    _counter("takes_failed", "Takes that keysync did not answer.", "takes_failed"),
    _counter("takes_unreadable", "Runs of keys of a wrong length.", "takes_unreadable"),
    _counter("link_blocks", "Blocks of key formed.", "blocks"),
    _counter("link_key_bits", "Bits of key formed.", "key_bits"),
    _counter("link_exchanges_failed", "Exchanges that gave no key.", "exchanges_failed"),
    _counter("link_signals_created", "Pairs made, or pulses and pairs detected.", "signals_created"),
    _counter("link_signals_sifted_out", "Of these: of no use, as measured in different bases.", "signals_sifted_out"),
    _counter("link_bits_disclosed", "Bits published to estimate QBER, S and decoy statistics.", "bits_disclosed"),
    _counter("link_bits_kept", "Bits that went into distillation.", "bits_kept"),
    _counter("link_bits_leaked", "Bits told by the error correction.", "bits_leaked"),
    _counter("link_alarms", "Alarms: QBER, S, darkness, authentication.", "alarms"),
    _counter("worker_exchanges", "Exchanges given to a worker, by outcome.", "worker_exchanges"),
    _counter("jobs_turned_away", "Jobs for which there was no place to wait.", "jobs_turned_away"),
    _counter("jobs_lost", "Jobs lost with their worker.", "jobs_lost"),
    _counter("jobs_slow", "Jobs taken away from a worker that was too slow.", "jobs_slow"),
    _counter("workers_fenced", "Workers killed that were stopped while they had the store of keys.", "workers_fenced"),
    _counter("exchanges", "Exchanges of this worker, by outcome.", "exchanges"),
    _counter("signals_sent", "Pairs or pulses that left the source.", "signals_sent"),
    _counter("exchange_bits", "Bits of exchanges by what became of them (key: formed).", "exchange_bits"),
    _counter("errors_corrected", "Bits that the error correction has flipped.", "errors_corrected"),
    _counter("pairs_created", "Pairs made in SimulaQron.", "pairs_created"),
    _counter("pairs_measured", "Halves of pairs measured in SimulaQron.", "pairs_measured"),
    _counter("lines_ended", "Lines of pairs that have ended.", "lines_ended"),
    _counter("tunnels_opened", "Connections to virtual nodes of other hosts.", "tunnels_opened"),
    _counter("tunnels_broken", "Such connections that broke.", "tunnels_broken"),
    _counter("tunnels_dismissed", "Such connections that were not wanted.", "tunnels_dismissed"),
)
GAUGES = (
    _gauge("calls_running", "Calls that are being carried out.", "calls_running"),
    _gauge("calls_waiting", "Calls of this service to others that are not answered yet.", "calls_waiting"),
    _gauge("answers_remembered", "Answers that a caller may ask for again.", "answers_remembered"),
    _gauge("streams", "Key streams.", "streams"),
    _gauge("keys_buffered", "Keys in memory that nobody has had yet.", "keys_buffered"),
    _gauge("buffer_bytes", "Memory that holds, or held, keys.", "buffer_bytes"),
    _gauge("callers", "Callers that may ask for an answer again.", "callers"),
    _gauge("calls_awaiting_key", "Calls that wait for a key.", "calls_awaiting_key"),
    _gauge("peer_answers", "1 while the key manager next door answers.", "peer_answers"),
    _gauge("link_up", "1 while the link gives key.", "link_up"),
    _gauge("link_alarm", "1 while the link is in alarm.", "link_alarm"),
    _gauge("link_key_rate_bits_per_second", "Key formed over the last minute.", "key_rate"),
    _gauge("link_qber_ratio", "QBER of the last exchange.", "qber"),
    _gauge("link_chsh_s", "S of the CHSH test of the last exchange, where it is measured.", "s"),
    _gauge("link_reservoir_bits", "Agreed bits kept ready for streams to come.", "reservoir_bits"),
    _gauge("link_keys_ready", "Agreed keys, available here, not acknowledged yet.", "keys_ready"),
    _gauge("link_exchanges_running", "Exchanges under way.", "exchanges_running"),
    _gauge(
        "link_decisions_unacknowledged",
        "Entries of the ledger that the other end has not acknowledged.",
        "decisions_unacknowledged",
    ),
    _gauge("link_epoch", "Number of the link's epoch; it grows when a store was lost.", "epoch"),
    _gauge("jobs_running", "Exchanges that the dispatcher has given to workers.", "jobs_running"),
    _gauge("jobs_waiting", "Exchanges that wait for a worker.", "jobs_waiting"),
    _gauge("worker_up", "1 while the worker can be given work.", "worker_up"),
    _gauge("worker_exchanges_running", "Exchanges of a worker under way.", "worker_exchanges_running"),
    _gauge("worker_capacity", "Exchanges that a worker is given at once.", "worker_capacity"),
    _gauge("exchanges_running", "Exchanges of this worker under way.", "running"),
    _gauge("exchanges_capacity", "Exchanges that this worker likes to have at once.", "capacity"),
    _gauge("parcels_early", "Parcels kept for exchanges that have not begun here.", "parcels_early"),
    _gauge("link_speed_ratio", "Link time that passes in a second of a photonic link.", "link_speed"),
    _gauge("registers", "Pairs in SimulaQron's registers.", "registers"),
    _gauge("virtual_nodes_up", "Virtual nodes next door that are connected.", "peers_up"),
    _gauge("tunnel_waiting_bytes", "What waits for a virtual node of another host.", "tunnel_octets_waiting"),
)
HISTOGRAMS = (
    _histogram("call_seconds", "From waking up for a call to its answer, commit included.", "seconds"),
    _histogram("exchange_seconds", "How long exchanges took.", "exchange_seconds"),
    _histogram("exchange_stage_seconds", "How long each stage of an exchange took.", "stage_seconds"),
)
ABOUT_PROCESSES = (
    *(BUILD, SCRAPE, NODE_UP, NODE_RESTARTS, SERVICE_UP, RESTARTS, UPTIME),
    *(CPU, RESIDENT, PROPORTIONAL, FILES),
)
ALL = (
    *ABOUT_PROCESSES,
    *(CALLS, *COUNTERS, PARCELS, *GAUGES, *HISTOGRAMS),
    *(OTHER_COUNTER, OTHER_GAUGE, OTHER_HISTOGRAM),
)

COUNTER_OF = {metric.source: metric for metric in COUNTERS}
GAUGE_OF = {metric.source: metric for metric in GAUGES}
HISTOGRAM_OF = {metric.source: metric for metric in HISTOGRAMS}
METHODS = {
    "keymanager": frozenset({*keymanager.CONTRACT.methods, *keymanager.PEER.methods}),
    "keysync": frozenset({*keysync.CONTRACT.methods, *keysync.PEER.methods}),
    "dispatcher": frozenset(dispatcher.CONTRACT.methods),
    "qbackend": frozenset({*qbackend.CONTRACT.methods, *qbackend.PEER.methods}),
    "emulator": frozenset(emulator.CONTRACT.methods),
}
SUMMED = "refused"  # the sum of `refusals`, which says more
