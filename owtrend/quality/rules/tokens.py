"""Tokens of an expression as people type it, and the Python text that `ast` parses in its place.

``&&``, ``||`` and ``!`` of TTree::Draw become ``and``, ``or`` and ``~``, which binds as tightly as ``!`` does. A
reductor with brackets, such as ``mean_x(y=2:5)``, and a text in quotes become names of their own. Whatever is no
expression is refused here, so that `ast` only sees what it can parse; each error has the column as typed, from 1 on.
"""

import ast
import keyword
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from owtrend.display import quoted
from owtrend.errors import UsageError

__all__ = ["LONGEST", "ExpressionError", "Translated", "parsed", "translate"]

LONGEST = 2000  # [characters] of an expression
_MOST_TOKENS = 500
_DEEPEST = 30  # brackets in brackets
_LONGEST_NAME = 200


class ExpressionError(UsageError):
    """An expression that means nothing; ``column`` is where, in the text as typed, from 1 on."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column


class _Token(NamedTuple):
    kind: str
    text: str
    column: int  # where it begins as typed, from 0 on
    end: int


@dataclass(frozen=True)
class Translated:
    """Python text of an expression.

    Parameters
    ----------
    texts
        By name in the Python text: texts in quotes, with the quotes removed.
    reductors
        By name in the Python text: reductors with brackets.
    """

    typed: str
    python: str
    texts: Mapping[str, str]
    reductors: Mapping[str, str]
    _starts: tuple[int, ...]  # where each token begins in the Python text
    _typed: tuple[tuple[int, int], ...]  # where each begins and ends as typed

    def column(self, offset: int) -> int:
        """Column as typed, from 1 on, of a place in the Python text."""
        return self._typed[max(bisect_right(self._starts, offset) - 1, 0)][0] + 1

    def part(self, first: int, last: int) -> str:
        """The text as typed of a part of the Python text."""
        tokens = bisect_right(self._starts, first) - 1, bisect_right(self._starts, last - 1) - 1
        return " ".join(self.typed[self._typed[tokens[0]][0] : self._typed[tokens[1]][1]].split())


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
    | (?P<operator>&&|\|\||==|!=|<=|>=|\*\*|[-+*/<>!(),=])""",
    re.VERBOSE | re.ASCII,
)
_PYTHON = {"&&": "and", "||": "or", "!": "~"}
_BEFORE_NOT = frozenset((None, "(", ",", "=", "and", "or", "not"))
_INSTEAD = {
    "&": "; did you mean '&&'?",
    "|": "; did you mean '||'?",
    "^": "; a power is written **",
    "~": "; use ! or not",
    "?": "; a rule has error, warning and unknown in place of a choice",
    ":": "; a range stands in the brackets of a reductor, such as mean_x(y=2:5)",
    "[": "; use previous(x), or mean(x, n) and others of the last n reports",
    '"': ": the quotation mark has no end",
    "'": ": the quotation mark has no end",
}


def translate(typed: str, reductors: frozenset[str], functions: frozenset[str]) -> Translated:
    """The Python text of an expression.

    Parameters
    ----------
    reductors
        Names of reductors without their axis; with brackets they are read as a whole, unless ``functions`` has them.

    Raises
    ------
    ExpressionError
        If it is no expression.
    """
    if len(typed) > LONGEST:
        raise ExpressionError(f"{len(typed):,} characters, expected at most {LONGEST:,}; make two rules of it", LONGEST)
    tokens = _tokens(typed, reductors, functions)
    if not tokens:
        raise ExpressionError("nothing here; expected a condition such as mean_x > 3", 1)
    if len(tokens) > _MOST_TOKENS:
        raise ExpressionError(
            f"{len(tokens)} parts, expected at most {_MOST_TOKENS}; make two rules of it",
            tokens[_MOST_TOKENS].column + 1,
        )
    _require_order(tokens, len(typed))
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[tuple[int, int]] = []
    names: dict[str, dict[str, str]] = {"text": {}, "reductor": {}}
    at = 0
    for number, token in enumerate(tokens):
        python = token.text
        if token.kind in names:
            python = f"_{token.kind}{number}"
            names[token.kind][python] = token.text
        elif token.kind == "number":
            python = repr(float(token.text))
        starts.append(at)
        ends.append((token.column, token.end))
        pieces.append(python)
        at += len(python) + 1
    return Translated(typed, " ".join(pieces), names["text"], names["reductor"], tuple(starts), tuple(ends))


def _tokens(typed: str, reductors: frozenset[str], functions: frozenset[str]) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(typed):
        match = _TOKEN.match(typed, at)
        if match is None:
            wrong = typed[at]
            raise ExpressionError(f"{quoted(wrong)} has no meaning here{_INSTEAD.get(wrong, '')}", at + 1)
        kind, text, end = str(match.lastgroup), match[0], match.end()
        if kind == "number":
            if end < len(typed) and (typed[end].isalnum() or typed[end] in "_."):
                raise ExpressionError(f"{quoted(typed[at : end + 1], 40)} is no number", at + 1)
            if not isfinite(float(text)):
                raise ExpressionError(f"{quoted(text, 40)} is too large for a number", at + 1)
        elif kind == "text":
            text = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
            if len(text) > _LONGEST_NAME:
                raise ExpressionError(f"a text of {len(text)} characters; expected at most {_LONGEST_NAME}", at + 1)
        elif kind == "name":
            kind, text, end = _name(typed, at, text, end, reductors, functions)
        elif kind == "operator":
            text = _PYTHON.get(text, text)
        if kind != "space":
            found.append(_Token(kind, text, at, end))
        at = end
    return found


def _name(
    typed: str, at: int, text: str, end: int, reductors: frozenset[str], functions: frozenset[str]
) -> tuple[str, str, int]:
    """Kind, text and end of a name: an operator in words, a reductor with its brackets, or just a name."""
    if text in ("and", "or", "not"):
        return "operator", text, end
    if text.startswith("_") or keyword.iskeyword(text):
        raise ExpressionError(f"{quoted(text)} has no meaning in an expression", at + 1)
    if len(text) > _LONGEST_NAME:
        raise ExpressionError(f"a name of {len(text)} characters; expected at most {_LONGEST_NAME}", at + 1)
    base = text[:-2] if text[-2:] in ("_x", "_y", "_z", "_t") else text
    opening = re.compile(r"\s*\(").match(typed, end)
    if text in functions or base not in reductors or opening is None:
        return "name", text, end
    closing = _closing(typed, opening.end() - 1)
    return "reductor", f"{text}({typed[opening.end() : closing].strip()})", closing + 1


def _closing(typed: str, opening: int) -> int:
    """Where the bracket that opens at ``opening`` closes; brackets in quotes do not count."""
    depth = 0
    for match in re.compile(r'"(?:[^"\\]|\\.)*"|[()]').finditer(typed, opening):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.start()
    raise ExpressionError("this bracket is never closed", opening + 1)


def _require_order(tokens: list[_Token], length: int) -> None:
    """Raise ExpressionError unless values and operators alternate and brackets close."""
    opened: list[tuple[_Token, bool]] = []  # and whether it is a call
    before: str | None = None
    value = False  # whether a value ends here
    for number, (kind, text, column, _) in enumerate(tokens):
        shown = quoted({"~": "!"}.get(text, text), 40)
        after = tokens[number - 1].kind if number else ""
        if kind != "operator":
            if value:
                raise ExpressionError(f"expected an operator, found {shown}", column + 1)
            value = True
        elif text == "(":
            call = value and after == "name"
            if value and not call:
                raise ExpressionError("expected an operator, found '('", column + 1)
            opened.append((tokens[number], call))
            if len(opened) > _DEEPEST:
                raise ExpressionError(f"more than {_DEEPEST} brackets in brackets; make two rules of it", column + 1)
            value = False
        elif text == ")":
            empty_call = before == "(" and bool(opened) and opened[-1][1]
            if not opened:
                raise ExpressionError("this bracket was never opened", column + 1)
            if not value and not empty_call:
                raise ExpressionError("expected a value, found ')'", column + 1)
            opened.pop()
            value = True
        elif text in ("not", "~") or (text in "+-" and not value):
            if value:
                raise ExpressionError(f"expected an operator, found {shown}", column + 1)
            if text == "not" and before not in _BEFORE_NOT:
                raise ExpressionError("'not' needs brackets here: (not ...)", column + 1)
        else:
            _require_value(value, shown, column)
            if text == "," and not (opened and opened[-1][1]):
                raise ExpressionError("a comma has a meaning in the brackets of a function only", column + 1)
            if text == "=" and not (opened and opened[-1][1] and after == "name" and _begins_argument(tokens, number)):
                raise ExpressionError("'=' has no meaning here; did you mean '=='?", column + 1)
            value = False
        before = text if kind == "operator" else kind
    if opened:
        raise ExpressionError("this bracket is never closed", opened[-1][0].column + 1)
    if not value:
        raise ExpressionError("expected a value, found the end", length + 1)


def _require_value(value: bool, shown: str, column: int) -> None:
    if not value:
        raise ExpressionError(f"expected a value, found {shown}", column + 1)


def _begins_argument(tokens: list[_Token], number: int) -> bool:
    return number >= 2 and tokens[number - 2].kind == "operator" and tokens[number - 2].text in ("(", ",")


def parsed(translated: Translated) -> ast.expr:
    """The syntax tree of an expression."""
    try:
        return ast.parse(translated.python, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        offset = (getattr(error, "offset", None) or 1) - 1
        reason = getattr(error, "msg", None) or type(error).__name__
        raise ExpressionError(f"no expression ({reason})", translated.column(offset)) from error
