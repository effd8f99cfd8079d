"""Detectors as plug-ins: groups, titles, options, derived histograms, trends and names of channels, as data."""

from owtrend.detectors.plugins import detector, detectors
from owtrend.detectors.protocol import (
    Detector,
    Display,
    EventCount,
    Group,
    Host,
    HotChannels,
    Line,
    Option,
    Overlay,
    Projection,
    Ratio,
    Style,
    Trends,
)

__all__ = [
    "Detector", "Display", "EventCount", "Group", "Host", "HotChannels", "Line", "Option", "Overlay", "Projection",
    "Ratio", "Style", "Trends", "detector", "detectors",
]  # fmt: skip
