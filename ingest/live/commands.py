"""owtrend receive | replay"""

import logging
import sys
from pathlib import Path

import click

from ingest import naming
from owtrend.cli.options import Number
from owtrend.display import printable

__all__ = ["receive", "replay"]


@click.command()
@click.option("--store", required=True, help="Folder or URL of the store; created if it is missing.")
@click.option(
    "--watch", "folders", multiple=True, type=click.Path(path_type=Path, file_okay=False),
    help="Take the files that appear in this folder. Repeatable.",
)  # fmt: skip
@click.option("--http", metavar="HOST:PORT", help="Take uploads by HTTP: Overwatch's calls, and /api/v2/snapshots.")
@click.option(
    "--tokens", type=click.Path(path_type=Path, dir_okay=False),
    help="File of tokens of senders; without one HTTP listens on this machine only.",
)  # fmt: skip
@click.option("--add-token", metavar="NAME", help="Add a token for a sender to the file, print it once, and end.")
@click.option(
    "--spool", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what is not stored yet; on a local disk.  [default: STORE.receiver]",
)  # fmt: skip
@click.option("-c", "--config", type=click.Path(dir_okay=False, path_type=Path), help="YAML file of settings.")
@click.option("--interval", default=2.0, show_default=True, type=Number(0.1, 3600), help="Seconds between two looks.")
@click.option("--pattern", "patterns", multiple=True, help="Pattern of other file names, as of `owtrend ingest`.")
@click.option("--timezone", default=naming.CERN, show_default=True, help="Zone of the times in names and headers.")
@click.option(
    "--accumulation", type=click.Choice(["cumulative", "reset"]), default="cumulative", show_default=True,
    help="Whether a file has everything since its run began, or only what is new.",
)  # fmt: skip
def receive(
    store: str, folders: tuple[Path, ...], http: str | None, tokens: Path | None, add_token: str | None,
    spool: Path | None, config: Path | None, interval: float,
    patterns: tuple[str, ...], timezone: str, accumulation: str,
) -> None:  # fmt: skip
    """Receive snapshots into a store, with trends, scores and alarms, until SIGTERM or Ctrl-C.

    What was received is on the disk of the spool until the store has it: no power loss takes it. A watched folder is
    only read; files are taken when they are complete. SIGHUP reads the configuration again. Lines of the log are JSON.
    `owtrend status STORE` shows how it goes.

    Example: owtrend receive --store archive.zarr --watch /data/incoming
    """
    from ingest.live.receiver import JsonLines, Receiver, ReceiverSettings

    if add_token is not None:
        from ingest.live.web import tokens as of_senders

        if tokens is None:
            raise click.UsageError("give the file of tokens with --tokens")
        click.echo(of_senders.add_token(tokens, add_token))
        return
    if not folders and http is None:
        raise click.UsageError("nothing to receive from; give --watch FOLDER or --http HOST:PORT")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("ingest", "owtrend"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False
    settings = ReceiverSettings(
        store=store, spool=spool, watch=folders, http=_address(http) if http else None, tokens=tokens,
        interval=interval, config=config, patterns=patterns,
        timezone=timezone, accumulation=accumulation,
    )  # fmt: skip
    Receiver(settings).run()


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--to", "target", required=True, help="Folder, or address of a receiver such as http://host:8080.")
@click.option("--speed", default=60.0, show_default=True, type=Number(1e-3, 1e9), help="60 makes a minute a second.")
@click.option("--timezone", default=naming.CERN, show_default=True, help="Zone of the times in names and headers.")
@click.option("--pattern", "patterns", multiple=True, help="Pattern of other file names, as of `owtrend ingest`.")
@click.option("--token", envvar="OWTREND_TOKEN", default="", help="Token of this sender; or in OWTREND_TOKEN.")
def replay(
    sources: tuple[Path, ...], target: str, speed: float, timezone: str, patterns: tuple[str, ...], token: str
) -> None:  # fmt: skip
    """Send the files in SOURCES again as if they came now, in order of their times: for training, and to try alarms.

    Example: owtrend replay data --to /data/incoming --speed 60
    """
    from ingest.live.replay import replay as send_again
    from owtrend.model.wording import plural

    result = send_again(sources, target, speed=speed, timezone=timezone, patterns=patterns, token=token)
    click.echo(f"{plural(result.sent, 'file')} sent to {printable(target, 200)}, {result.refused} refused")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--http {text!r}: expected HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)
