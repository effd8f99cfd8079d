"""The peer of the dashboards: one figure and a slider over the ROOT files of a run, by uproot, Panel and Bokeh alone.

``python -m benchmarks.plain_page PORT FILE...``; the address names the histogram. Prints the URL once the server
accepts requests.
"""

import sys

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from numpy.typing import NDArray

from benchmarks import plain


def page(paths: list[str]) -> pn.viewable.Viewable:
    """Steps in 1-D, an image in 2-D, of 3-D the projection on x and y; the slice between two files."""
    name = pn.state.session_args["histogram"][0].decode()

    def gained(first: int, last: int) -> NDArray:
        values = plain.uproot_values(paths[last], name) - plain.uproot_values(paths[first], name)
        inner = values[(slice(1, -1),) * values.ndim]
        return inner.sum(axis=2) if inner.ndim == 3 else inner

    def data(first: int, last: int) -> dict[str, object]:
        values = gained(first, last)
        return {"x": np.arange(len(values)), "y": values} if values.ndim == 1 else {"image": [values.T]}

    source = ColumnDataSource(data(0, len(paths) - 1))
    picture = figure(sizing_mode="stretch_both")
    if "image" in source.data:
        height, width = source.data["image"][0].shape
        picture.image("image", x=0, y=0, dw=width, dh=height, source=source)
    else:
        picture.step("x", "y", source=source)
    slider = pn.widgets.IntRangeSlider(start=0, end=len(paths) - 1, value=(0, len(paths) - 1))
    slider.param.watch(lambda event: source.update(data=data(*event.new)), "value")
    drawn = pn.pane.Bokeh(picture, sizing_mode="stretch_both")
    return pn.Column(slider, drawn, height=600, sizing_mode="stretch_width")


if __name__ == "__main__":
    port, *files = sys.argv[1:]
    where = f"127.0.0.1:{port}"
    server = pn.serve(
        lambda: page(files), port=int(port), address="127.0.0.1", websocket_origin=where, show=False, start=False,
        verbose=False,
    )  # fmt: skip
    server.start()
    print(f"http://{where}/", flush=True)
    server.io_loop.start()
