"""The command `owtrend serve`."""

import click

from owtrend.cli.options import modules_option, store_argument

__all__ = ["serve"]


@click.command()
@store_argument
@click.option("--port", default=8850, show_default=True, type=click.IntRange(1, 65535), help="Port of the pages.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 means all.")
@click.option("--origin", "origins", multiple=True, help="Further HOST[:PORT] by which browsers reach it. Repeatable.")
@click.option("--show", is_flag=True, help="Open a browser.")
@modules_option
def serve(store: str, port: int, address: str, origins: tuple[str, ...], show: bool) -> None:
    """Serve the pages of STORE until Ctrl-C: what is wrong now; histograms, their time slices and trends.

    Example: owtrend serve archive.zarr --port 8850
    """
    from dashboards import app

    def ready(url: str) -> None:
        click.echo(f"{store} is shown at {url}")
        click.echo("The first page says what is wrong; each alarm leads to its histogram. Ctrl-C stops the server.")

    app.serve(store, port=port, address=address, show=show, origins=origins, ready=ready)
