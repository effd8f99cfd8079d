"""Write the list of modules in architecture.md from their docstrings: `python docs/make_architecture.py`."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- modules -->\n", "<!-- end of modules -->\n"


def page() -> str:
    """Text of the page with a fresh list: one line per module, grouped by folder."""
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    lines: list[str] = []
    for top in ("owtrend", "ingest", "dashboards"):
        for folder in sorted({path.parent for path in (ROOT / top).rglob("*.py")}):
            modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
            lines += [f"**{folder.relative_to(ROOT).as_posix()}/** {first_line(folder / '__init__.py')}".rstrip(), ""]
            lines += [f"- `{path.name}`: {first_line(path)}" for path in modules]
            lines += [""] if modules else []
    return before + BEGIN + "\n".join(lines) + END + after[len(END) :]


def first_line(module: Path) -> str:
    """First line of the docstring of a module; empty where it has none."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    return docstring.split("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page())
