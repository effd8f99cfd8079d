"""A plug-in for ZDC: `pip install .` in this folder, then `owtrend detectors` lists it."""

from owtrend.detectors import Detector, EventCount, Group, HotChannels, Option, Projection, Style, Trends

TOWERS = ["common", "tower 1", "tower 2", "tower 3", "tower 4"]

ZDC = Detector(
    name="ZDC",
    prefix="zdc_",
    groups=(Group("Towers", "*tower*"), Group("Timing", "*time*"), Group("Other", "*")),
    styles=(Style("*towers_A", "Towers, side A"), Style("*towers_C", "Towers, side C")),
    options=(Option("scale_events", True, "Divide contents by the number of events in the interval."),),
    events=EventCount("zdc_events"),
    derived=(Projection("early_{}", "zdc_time_{}", "x", {"y": (-5.0, 0.0)}, "Energy of early signals"),),
    trends=(Trends(("zdc_time_?",), ("mean_y",), {"x": (50.0, 100.0)}),),
    hot_channels=(HotChannels("zdc_towers_?", 2.0),),
    place=lambda name, bins: TOWERS[bins[0].first - 1] if "towers" in name and 0 < bins[0].first <= 5 else "",
)
