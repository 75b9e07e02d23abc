"""A sample as Prometheus reads it (text format 0.0.4): pure, a sample in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qkdbus import __version__

from . import catalogue
from .catalogue import Metric
from .sample import SUPERVISORD, Buckets, Meter, Sample, parse

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PARCELS = "parcels_"
Labels = Mapping[str, str]
Series = tuple[Metric, Labels, float | Buckets]


def text(sample: Sample) -> str:
    """Return all metrics of a network, each with its HELP and TYPE, in the order of the catalogue."""
    found: dict[str, list[str]] = {}
    for metric, labels, value in _series(sample):
        found.setdefault(metric.name, []).extend(_lines(metric.name, labels, value))
    parts: list[str] = []
    for metric in catalogue.ALL:
        if metric.name in found:
            parts += [f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} {metric.kind}"]
            parts += found[metric.name]
    return "\n".join(parts) + "\n"


def _series(sample: Sample) -> Iterator[Series]:
    network = {"network": sample.status.network}
    yield catalogue.BUILD, {**network, "version": __version__}, 1.0
    yield catalogue.SCRAPE, network, sample.took
    for node in sample.status.nodes:
        labels = {**network, "node": node.node}
        yield catalogue.NODE_UP, labels, float(node.state == "running")
        if node.state != "unknown":
            yield catalogue.NODE_RESTARTS, labels, float(node.restarts)
        for layer in node.layers:
            which = {**labels, "layer": layer.layer, "replica": str(layer.replica)}
            yield catalogue.SERVICE_UP, which, float(layer.state == "ready")
            if node.state != "unknown":
                yield catalogue.RESTARTS, which, float(layer.restarts)
            if layer.uptime is not None:
                yield catalogue.UPTIME, which, layer.uptime
    for meter in sample.meters:
        which = {**network, "node": meter.node, "layer": meter.layer, "replica": str(meter.replica)}
        yield from _process(meter, which)
        if meter.layer != SUPERVISORD:
            yield from _said(meter, which)


def _process(meter: Meter, labels: Labels) -> Iterator[Series]:
    used = meter.use
    if used is None:
        return
    yield catalogue.CPU, labels, used.cpu
    yield catalogue.RESIDENT, labels, float(used.resident)
    if used.proportional is not None:
        yield catalogue.PROPORTIONAL, labels, float(used.proportional)
    if used.files is not None:
        yield catalogue.FILES, labels, float(used.files)


def _said(meter: Meter, labels: Labels) -> Iterator[Series]:
    methods = catalogue.METHODS.get(meter.layer, frozenset())
    for name, value in sorted(meter.counters.items()):
        base, more = parse(name)
        if base == catalogue.SUMMED:
            continue
        if base in methods and not more:
            yield catalogue.CALLS, {**labels, "method": base}, float(value)
        elif base in catalogue.COUNTER_OF:
            yield catalogue.COUNTER_OF[base], {**labels, **_linked(meter.node, more)}, float(value)
        elif base.startswith(_PARCELS):
            yield catalogue.PARCELS, {**labels, "reason": base.removeprefix(_PARCELS)}, float(value)
        else:
            yield catalogue.OTHER_COUNTER, {**labels, "name": name}, float(value)
    for name, level in sorted(meter.gauges.items()):
        base, more = parse(name)
        if base in catalogue.GAUGE_OF:
            yield catalogue.GAUGE_OF[base], {**labels, **_linked(meter.node, more)}, level
        else:
            yield catalogue.OTHER_GAUGE, {**labels, "name": name}, level
    for name, buckets in sorted(meter.histograms.items()):
        base, more = parse(name)
        if len(buckets.counts) != len(buckets.bounds) + 1:
            continue
        if base in catalogue.HISTOGRAM_OF:
            yield catalogue.HISTOGRAM_OF[base], {**labels, **_linked(meter.node, more)}, buckets
        else:
            yield catalogue.OTHER_HISTOGRAM, {**labels, "name": name}, buckets


def _linked(node: str, labels: Labels) -> dict[str, str]:
    """Name a link alike at both of its ends."""
    said = {name: value for name, value in labels.items() if name != "peer"}
    return {**said, "link": "-".join(sorted((node, labels["peer"])))} if "peer" in labels else said


def _lines(name: str, labels: Labels, value: float | Buckets) -> Iterator[str]:
    if not isinstance(value, Buckets):
        yield f"{name}{_written(labels)} {_number(value)}"
        return
    below = 0
    for bound, count in zip((*value.bounds, float("inf")), value.counts, strict=True):
        below += count
        yield f"{name}_bucket{_written({**labels, 'le': _number(bound)})} {below}"
    yield f"{name}_sum{_written(labels)} {_number(value.total)}"
    yield f"{name}_count{_written(labels)} {below}"


def _written(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items()) + "}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(value)
