"""Write cli.md next to this file from the help texts: `python docs/reference/make_cli.py`."""

from pathlib import Path

from click import Context, Group
from click.testing import CliRunner

from owtrend.cli.main import main


def reference() -> str:
    """The page: every verb's ``--help``."""
    pages = [
        "# Commands",
        "",
        "Made from the help texts by `python docs/reference/make_cli.py`; a test keeps it fresh.",
        "",
    ]
    assert isinstance(main, Group)
    for verb in ["", *main.list_commands(Context(main))]:
        arguments = [verb, "--help"] if verb else ["--help"]
        shown = CliRunner().invoke(main, arguments, prog_name="owtrend", terminal_width=100, catch_exceptions=False)
        pages += [f"## owtrend {verb}".rstrip(), "```", shown.output.rstrip(), "```", ""]
    return "\n".join(pages)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(reference())
