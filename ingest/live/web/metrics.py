"""The state of a receiver as metrics for Prometheus; no name of a histogram is a label."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["metrics"]

_MOST_SUBSYSTEMS = 50


def metrics(state: Mapping[str, Any]) -> tuple[bytes, str]:
    """The text of the metrics, and its media type."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    class Collector:
        def collect(self) -> Iterator[Any]:
            yield from _families(state)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _families(state: Mapping[str, Any]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    counts = CounterMetricFamily("owtrend_receiver_events", "What the writer did.", labels=["what"])
    for name, count in state["counts"].items():
        counts.add_metric([name], count)
    yield counts
    gauges = {
        "up": ("1 while snapshots are stored.", float(state["state"] == "receiving")),
        "queue_payloads": ("Payloads that wait for the store.", state["queue"]["payloads"]),
        "queue_bytes": ("Their size.", state["queue"]["bytes"]),
        "queue_oldest_seconds": ("How long the oldest has waited.", state["queue"]["oldest_seconds"]),
        "last_step_seconds": ("Since the last step of the writer.", state["last_step_seconds"]),
        "alarms_on": ("Alarms that are on.", state["alarms_on"]),
    }
    for name, (text, value) in gauges.items():
        yield GaugeMetricFamily(f"owtrend_receiver_{name}", text, value=value)
    age = GaugeMetricFamily("owtrend_receiver_data_age_seconds", "Since the last snapshot.", labels=["subsystem"])
    for name, one in [*state["subsystems"].items()][:_MOST_SUBSYSTEMS]:
        age.add_metric([name], one["age_seconds"])
    yield age
    took = GaugeMetricFamily("owtrend_receiver_seconds_to", "From arrival, of the newest.", labels=["what", "quantile"])
    for what, quantiles in state["seconds_to"].items():
        for quantile, seconds in quantiles.items():
            took.add_metric([what, f"0.{quantile[1:]}"], seconds)
    yield took
