"""Expressions over the reports of a histogram: a whitelist over Python's syntax, compiled to functions of arrays.

``abs(mean_x - median(mean_x)) > 4 * mad(mean_x) and entries > 100``: names are reductors (`owtrend.trends.reductors`),
``score``, ``z`` and ``threshold``; `owtrend.quality.rules.functions` has what can be called. Nothing is evaluated as
Python. A value that is missing makes a comparison unknown, and ``true or unknown`` is true.
"""

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.display import quoted
from owtrend.errors import NotFoundError, UsageError, hint
from owtrend.quality.rules.functions import FUNCTIONS, INPUTS, LONGEST_WINDOW, SCORES, Argument, Function, Kind
from owtrend.quality.rules.overwatch import require_sensible
from owtrend.quality.rules.tokens import ExpressionError, Translated, parsed, translate
from owtrend.quality.rules.windows import TRUE, UNKNOWN, Reports, compared, finite
from owtrend.trends.reductors import REDUCTORS, parse

__all__ = ["Expression", "ExpressionError", "compile_condition"]

_DEEPEST = 100  # operators in operators
_LARGEST_POWER = 10
_FARTHEST = 5000  # reports that all windows of an expression look back, together
Values = NDArray[Any]
_ARITHMETIC: dict[type, Callable[[Values, Values], Values]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type, Callable[[Values, Values], Values]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class _Part:
    """A part of an expression, compiled."""

    kind: Kind
    text: str  # as typed
    column: int
    values: Callable[[Reports], Values]
    constant: float | str | None = None
    reductor: str = ""
    condition: bool = False  # a value of run conditions, which may be a text


@dataclass(frozen=True, eq=False)
class Expression:
    """A condition on the reports of a histogram.

    Parameters
    ----------
    text
        As typed.
    inputs
        What it depends on: ``trend``, ``error``, ``reference``, ``score`` or ``condition``, and the name.
    reach
        Reports that it looks back, at most.
    """

    text: str
    inputs: frozenset[tuple[str, str]]
    reach: int
    _truth: Callable[[Reports], Values]
    _deciding: Mapping[str, Callable[[Reports], Values]] = field(default_factory=dict)

    def truth(self, reports: Reports) -> NDArray[np.int8]:
        """Truth in each report: 0 false, 1 unknown, 2 true."""
        return self._truth(reports)

    def deciding(self, reports: Reports) -> dict[str, Values]:
        """By name the values that decide, in each report."""
        return {text: values(reports) for text, values in self._deciding.items()}


def compile_condition(text: str, own: Collection[str] = ()) -> Expression:
    """Compile an expression that is true or false in each report.

    Parameters
    ----------
    own
        Names of further reductors, which a store has recorded.

    Raises
    ------
    ExpressionError
        If it is none; the text has the column, and the nearest name where one is not known.
    """
    bases = frozenset(REDUCTORS) | frozenset(own)
    translated = translate(text, bases, frozenset(FUNCTIONS))
    compiler = _Compiler(translated, frozenset(own))
    part = compiler.compile(parsed(translated), 0)
    compiler.require(part, Kind.CONDITION)
    deciding = {} if not compiler.deciding else dict(compiler.deciding)
    return Expression(" ".join(text.split()), frozenset(compiler.inputs), compiler.reach, part.values, deciding)


class _Compiler:
    """Compiles the parts of one expression, and notes what they depend on."""

    def __init__(self, translated: Translated, own: frozenset[str]) -> None:
        self.translated, self.own = translated, own
        self.inputs: set[tuple[str, str]] = set()
        self.deciding: dict[str, Callable[[Reports], Values]] = {}
        self.reach = 0
        self._inside = 0  # calls around, whose value is shown in place of those in them

    def compile(self, node: ast.expr, depth: int) -> _Part:
        text = self.translated.part(node.col_offset, node.end_col_offset or node.col_offset + 1)
        column = self.translated.column(node.col_offset)
        if depth > _DEEPEST:
            raise ExpressionError(f"more than {_DEEPEST} operators in operators; make two rules of it", column)
        match node:
            case ast.Constant(value=float() as number):
                return _Part(Kind.NUMBER, text, column, lambda reports: np.full(len(reports), number), number)
            case ast.Name():
                return self.name(node.id, text, column)
            case ast.UnaryOp():
                return self.unary(node, depth, text, column)
            case ast.BinOp():
                return self.arithmetic(node, depth, text, column)
            case ast.BoolOp():
                parts = [self.require(self.compile(one, depth + 1), Kind.CONDITION) for one in node.values]
                join = np.minimum if isinstance(node.op, ast.And) else np.maximum
                return _Part(
                    Kind.CONDITION, text, column, lambda reports: join.reduce([part.values(reports) for part in parts])
                )
            case ast.Compare():
                return self.comparison(node, depth, text, column)
            case ast.Call(func=ast.Name(id=name)):
                return self.call(name, node, depth, text, column)
        raise ExpressionError(f"{quoted(text, 40)} has no meaning in an expression", column)

    def require(self, part: _Part, kind: Kind) -> _Part:
        """The part, if it is of this kind."""
        if part.kind is kind:
            return part
        more = {
            Kind.CONDITION: "; compare it with something",
            Kind.NUMBER: "; only numbers are compared or calculated with",
        }
        raise ExpressionError(
            f"{quoted(part.text, 60)} is {part.kind.value}, expected {kind.value}{more.get(kind, '')}", part.column
        )

    def name(self, name: str, text: str, column: int) -> _Part:
        translated = self.translated
        if name in translated.texts:
            words = translated.texts[name]
            return _Part(Kind.TEXT, text, column, lambda reports: np.full(len(reports), words, object), words)
        if name in INPUTS:
            return self.input(*INPUTS[name], text, column)
        typed = translated.reductors.get(name, name)
        spec = self.reductor(typed, column)
        part = self.input("trend", spec, text, column)
        return _Part(part.kind, part.text, column, part.values, reductor=spec)

    def reductor(self, typed: str, column: int) -> str:
        """Canonical name of a reductor."""
        if typed in self.own:
            return typed
        try:
            return parse(typed).name
        except UsageError as error:
            raise ExpressionError(str(error), column) from None
        except NotFoundError:
            if typed in FUNCTIONS:
                first = FUNCTIONS[typed].arguments[0].name
                raise ExpressionError(
                    f"{typed} is a function; expected brackets, such as {typed}({first})", column
                ) from None
            raise ExpressionError(f"no name {quoted(typed, 60)}{self.near(typed)}", column) from None

    def near(self, name: str) -> str:
        axes = [f"{one}_{axis}" for one, kind in REDUCTORS.items() if kind.per_axis for axis in "xyzt"]
        return hint(name, [*REDUCTORS, *axes, *self.own, *INPUTS, *FUNCTIONS], limit=1)

    def input(self, what: str, name: str, text: str, column: int) -> _Part:
        self.inputs.add((what, name))

        def values(reports: Reports) -> Values:
            return finite(reports.get(what, name))

        self.decides(text, values)
        return _Part(Kind.NUMBER, text, column, values)

    def decides(self, text: str, values: Callable[[Reports], Values]) -> None:
        if not self._inside:
            self.deciding.setdefault(text, values)

    def unary(self, node: ast.UnaryOp, depth: int, text: str, column: int) -> _Part:
        operand = self.compile(node.operand, depth + 1)
        if isinstance(node.op, ast.Not | ast.Invert):
            self.require(operand, Kind.CONDITION)
            return _Part(Kind.CONDITION, text, column, lambda reports: np.int8(TRUE) - operand.values(reports))
        self.require(operand, Kind.NUMBER)
        if isinstance(node.op, ast.UAdd):
            return _Part(Kind.NUMBER, text, column, operand.values, operand.constant)
        constant = -operand.constant if isinstance(operand.constant, float) else None
        return _Part(Kind.NUMBER, text, column, lambda reports: -operand.values(reports), constant)

    def arithmetic(self, node: ast.BinOp, depth: int, text: str, column: int) -> _Part:
        left, right = (self.require(self.compile(one, depth + 1), Kind.NUMBER) for one in (node.left, node.right))
        calculate = _ARITHMETIC.get(type(node.op))
        if calculate is None:
            raise ExpressionError(f"{quoted(text, 40)} has no meaning in an expression", column)
        if isinstance(node.op, ast.Pow) and not (
            isinstance(right.constant, float) and abs(right.constant) <= _LARGEST_POWER
        ):
            raise ExpressionError(f"expected a plain number up to {_LARGEST_POWER} as power", right.column)

        def values(reports: Reports) -> Values:
            with np.errstate(all="ignore"):
                return finite(calculate(left.values(reports), right.values(reports)))

        return _Part(Kind.NUMBER, text, column, values)

    def comparison(self, node: ast.Compare, depth: int, text: str, column: int) -> _Part:
        sides = [self.compile(one, depth + 1) for one in (node.left, *node.comparators)]
        links: list[Callable[[Reports], Values]] = []
        for left, right, sign in zip(sides, sides[1:], node.ops, strict=False):
            compare = _COMPARISONS.get(type(sign))
            if compare is None:
                raise ExpressionError(f"{quoted(text, 40)} has no meaning in an expression", column)
            if Kind.TEXT in (left.kind, right.kind):
                links.append(self.same_text(left, right, isinstance(sign, ast.Eq), type(sign)))
                continue
            self.require(left, Kind.NUMBER)
            self.require(right, Kind.NUMBER)

            def link(reports: Reports, left: _Part = left, right: _Part = right, compare: Any = compare) -> Values:
                a, b = left.values(reports), right.values(reports)
                return compared(compare(a, b), a, b)

            links.append(link)
        if len(links) == 1:
            return _Part(Kind.CONDITION, text, column, links[0])
        return _Part(Kind.CONDITION, text, column, lambda reports: np.minimum.reduce([one(reports) for one in links]))

    def same_text(self, left: _Part, right: _Part, equal: bool, sign: type) -> Callable[[Reports], Values]:
        """Compare a run condition with a text."""
        words, other = (left, right) if left.kind is Kind.TEXT else (right, left)
        if not (other.condition and sign in (ast.Eq, ast.NotEq)):
            raise ExpressionError(
                f"{quoted(words.text, 60)}: a text can only be == or != a run condition, "
                'such as condition("beam") == "pp"',
                words.column,
            )
        name = str(other.constant)

        def link(reports: Reports) -> Values:
            found = reports.get("condition", name)
            if found.dtype.kind not in "OUT":
                return np.full(len(reports), UNKNOWN, dtype=np.int8)
            missing = np.array([not isinstance(one, str) for one in found], dtype=bool)
            same = np.array([one == words.constant for one in found], dtype=bool)
            return np.where(missing, UNKNOWN, TRUE * (same == equal)).astype(np.int8)

        return link

    def call(self, name: str, node: ast.Call, depth: int, text: str, column: int) -> _Part:
        function = FUNCTIONS.get(name)
        if function is None:
            typed = self.translated.reductors.get(name, name)
            near = hint(typed, FUNCTIONS, limit=1)
            raise ExpressionError(
                f"no function {quoted(typed, 60)}{near or '; there are ' + ', '.join(FUNCTIONS)}", column
            )
        self._inside += function.decides
        given = self.arguments(name, function, node, depth, column)
        self._inside -= function.decides
        self.reach += function.reach({key: value for key, value in given.items() if not isinstance(value, _Part)})
        if self.reach > _FARTHEST:
            raise ExpressionError(f"windows of more than {_FARTHEST:,} reports together; make two rules of it", column)
        if wrong := require_sensible(name, given):
            raise ExpressionError(f"{name}: {wrong}", column)
        if function.arguments[0].kind in (Kind.TEXT, Kind.REDUCTOR):
            (what,) = given.values()
            if name == "score" and what not in SCORES:
                raise ExpressionError(f"no score {quoted(what, 60)}{hint(str(what), SCORES, limit=1)}", column)
            part = self.input(name, str(what), text, column)
            return _Part(Kind.NUMBER, text, column, part.values, str(what), condition=name == "condition")

        def values(reports: Reports) -> Values:
            return function.call(
                reports, *(one.values(reports) if isinstance(one, _Part) else one for one in given.values())
            )

        def once(reports: Reports) -> Values:
            return reports.once(text, lambda: values(reports))

        if function.decides:
            self.decides(text, once)
        return _Part(function.gives, text, column, once)

    def arguments(self, name: str, function: Function, node: ast.Call, depth: int, column: int) -> dict[str, Any]:
        """The arguments of a call in their order: compiled parts, plain numbers and names."""
        declared = list(function.arguments)
        if function.more:
            first = declared[0]
            declared = [Argument(f"{first.name}{at or ''}", first.kind) for at in range(max(len(node.args), 1))]
        takes = ", ".join(one.name if one.default is ... else f"{one.name}={_shown(one.default)}" for one in declared)
        if len(node.args) > len(declared):
            at = self.translated.column(node.args[len(declared)].col_offset)
            raise ExpressionError(f"{name} takes {takes}; this is one argument too many", at)
        typed = dict(zip((one.name for one in declared), node.args, strict=False))
        for keyword in node.keywords:
            at = self.translated.column(keyword.col_offset)
            if keyword.arg not in {one.name for one in declared}:
                near = hint(str(keyword.arg), [one.name for one in declared], limit=1)
                raise ExpressionError(
                    f"{name} has no argument {quoted(keyword.arg, 40)}{near or f'; it takes {takes}'}", at
                )
            if keyword.arg in typed:
                raise ExpressionError(f"{name}: {keyword.arg} is given twice", at)
            typed[str(keyword.arg)] = keyword.value
        missing = [one.name for one in declared if one.default is ... and one.name not in typed]
        if missing:
            raise ExpressionError(f"{name} takes {takes}; {missing[0]} is missing", column)
        return {
            one.name: self.argument(name, one, typed[one.name], depth) if one.name in typed else one.default
            for one in declared
        }

    def argument(self, name: str, argument: Argument, node: ast.expr, depth: int) -> Any:
        """One argument: a compiled part, a plain number, or a name."""
        if argument.kind is Kind.REDUCTOR:
            return self.named(name, node)
        part = self.compile(node, depth + 1)
        if argument.kind in (Kind.NUMBER, Kind.CONDITION):
            return self.require(part, argument.kind)
        if argument.kind is Kind.TEXT:
            return self.require(part, Kind.TEXT).constant
        if not isinstance(part.constant, float) or part.kind is not Kind.NUMBER:
            raise ExpressionError(
                f"{name}: {argument.name} is {quoted(part.text, 40)}, expected {argument.kind.value}", part.column
            )
        if argument.kind is Kind.CONSTANT:
            return part.constant
        if not part.constant.is_integer() or not 1 <= part.constant <= LONGEST_WINDOW:
            raise ExpressionError(
                f"{name}: {argument.name} is {quoted(part.text, 40)}, expected a whole number of reports from 1 to "
                f"{LONGEST_WINDOW}", part.column
            )  # fmt: skip
        return int(part.constant)

    def named(self, name: str, node: ast.expr) -> str:
        """The reductor that is an argument."""
        column = self.translated.column(node.col_offset)
        if not isinstance(node, ast.Name) or node.id in self.translated.texts or node.id in INPUTS:
            text = self.translated.part(node.col_offset, node.end_col_offset or node.col_offset + 1)
            raise ExpressionError(f"{name} of {quoted(text, 40)}: expected a reductor, such as {name}(mean_x)", column)
        return self.reductor(self.translated.reductors.get(node.id, node.id), column)


def _shown(default: Any) -> str:
    return f"{default:g}" if isinstance(default, float | int) else repr(default)
