# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Mutants of a source file: one small change each, at a node of its syntax tree."""

import ast
import copy
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
CALLS = {
    "all": "any",
    "any": "all",
    "amax": "amin",
    "amin": "amax",
    "argmax": "argmin",
    "argmin": "argmax",
    "ceil": "floor",
    "cos": "sin",
    "exp": "expm1",
    "floor": "ceil",
    "log": "log1p",
    "log1p": "log",
    "logsumexp": "sum",
    "max": "min",
    "maximum": "minimum",
    "mean": "sum",
    "min": "max",
    "minimum": "maximum",
    "no_grad": "enable_grad",
    "ones": "zeros",
    "ones_like": "zeros_like",
    "sorted": "list",
    "sum": "mean",
    "var": "std",
    "std": "var",
    "zeros": "ones",
    "zeros_like": "ones_like",
}
DROPPED_METHODS = (
    *(
        "abs",
        "clamp",
        "contiguous",
        "detach",
        "double",
        "exp",
        "float",
        "lower",
        "log",
        "masked_fill",
    ),
    *("neg", "reciprocal", "requires_grad_", "resolve", "rstrip", "sigmoid", "sqrt", "square"),
    *("strip", "tanh", "title", "unsqueeze"),
)
"""Methods whose object is put in place of their call."""
SAYING_FOLDERS = ("report", "cli", "run_folder")
"""Folders of the package whose texts are mutated: they are what is shown."""
ASSERTING_KEYWORDS = ("strict", "frozen", "stacklevel", "encoding")
"""Keywords that only assert or declare, as ``zip(strict=True)``: not mutated, as no assert is."""


@dataclass(frozen=True)
class Mutant:
    """Bytes ``start`` to ``stop`` of a file, replaced by ``after``.

    ``scope`` says whose lines tell which tests can see it: the lines themselves, the body of the
    function whose signature it stands in, or the whole module for what runs once at import.
    """

    file: str
    line: int
    last_line: int
    operator: str
    start: int
    stop: int
    before: str
    after: str
    scope: str
    scope_lines: tuple[int, int]
    name: str

    @property
    def change(self):
        """Both texts on one line."""
        return f"{' '.join(self.before.split())} -> {' '.join(self.after.split())}"


def mutants(file, source):
    """All mutants of a file's text, in the order of its nodes."""
    visitor = _Visitor(file, source)
    visitor.visit(ast.parse(source))
    return visitor.mutants


class _Visitor(ast.NodeVisitor):
    def __init__(self, file, source):
        self.file = file
        self.bytes = source.encode()
        self.starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.texts = file.split("/")[1] in SAYING_FOLDERS
        self.functions = []
        self.statement = None
        self.in_signature = False
        self.mutants = []

    def _offset(self, line, column):
        return self.starts[line - 1] + column

    def _add(self, node, operator, after):
        start = self._offset(node.lineno, node.col_offset)
        stop = self._offset(node.end_lineno, node.end_col_offset)
        before = self.bytes[start:stop].decode(errors="replace")
        if isinstance(node, ast.expr) and not _is_text_of(before, node):
            return  # Inside an f-string, where Python 3.11 gives places that are not the file's.
        statement = self.statement or node
        lines = (statement.lineno, statement.end_lineno)
        scope = "lines"
        if self.in_signature:
            scope, lines = "function", (self.functions[-1].lineno, self.functions[-1].end_lineno)
        elif not self.functions:
            scope = "module"
        targets = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        name = targets[0].id if scope == "module" and targets else ""
        self.mutants.append(
            Mutant(
                *(self.file, node.lineno, node.end_lineno, operator, start, stop),
                *(before, after, scope, lines, name),
            )
        )

    def _changed(self, node, operator, **fields):
        changed = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(changed, name, value)
        self._add(node, operator, f"({ast.unparse(changed)})")

    def visit(self, node):
        if isinstance(node, ast.stmt):
            self.statement = node
        super().visit(node)

    # What is not mutated: types, exports, asserts, docstrings and the texts of errors.

    def visit_Module(self, node):
        self._body(node.body)

    def visit_ClassDef(self, node):
        if any("Protocol" in ast.unparse(base) for base in node.bases):
            return
        self._body(node.body)

    def visit_FunctionDef(self, node):
        if any("overload" in ast.unparse(each) for each in node.decorator_list):
            return
        self.functions.append(node)
        self.in_signature = True
        for decorator in node.decorator_list:
            if "no_grad" in ast.unparse(decorator) or "inference_mode" in ast.unparse(decorator):
                self._add(decorator, "decorator", "(lambda function: function)")
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self.in_signature = False
        self._body(node.body)
        self.functions.pop()

    def _body(self, body):
        for statement in body:
            docstring = isinstance(statement, ast.Expr) and isinstance(
                statement.value, ast.Constant
            )
            if not docstring:
                self.visit(statement)

    def visit_Assert(self, node):
        pass

    def visit_Import(self, node):
        pass

    def visit_ImportFrom(self, node):
        pass

    def visit_AnnAssign(self, node):
        if node.value is not None and "TypeAlias" not in ast.unparse(node.annotation):
            self.visit(node.value)

    def visit_arg(self, node):
        pass

    def visit_Assign(self, node):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if "__all__" in names or ast.unparse(node.value).startswith(("Literal[", "TypeVar(")):
            return
        if not isinstance(node.targets[0], (ast.Name, ast.Tuple)):
            self._add(node, "statement", "pass")
        self.visit(node.value)

    # Statements.

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self._add(node, "statement", "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        self._add(node, "statement", "pass")
        opposite = ARITHMETIC.get(type(node.op))
        if opposite is not None:
            changed = copy.deepcopy(node)
            changed.op = opposite()
            self._add(node, "arithmetic", ast.unparse(changed))
        self.visit(node.value)

    def visit_Return(self, node):
        value = node.value
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            return
        self._add(node, "return", "return None")
        self.visit(value)

    def visit_Raise(self, node):
        self._add(node, "statement", "pass")

    def visit_Delete(self, node):
        self._add(node, "statement", "pass")

    def visit_Break(self, node):
        self._add(node, "statement", "continue")

    def visit_Continue(self, node):
        self._add(node, "statement", "pass")

    def visit_If(self, node):
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        statement = self.statement
        self._condition(node.test)
        self.visit(node.test)
        for block in (node.body, node.orelse):
            self._body(block)
            self.statement = statement

    def visit_While(self, node):
        self.visit(node.test)
        self._body(node.body)

    # Expressions.

    def _condition(self, test):
        if not isinstance(test, (ast.Compare, ast.BoolOp)) and not _is_not(test):
            self._add(test, "condition", f"(not ({ast.unparse(test)}))")

    def visit_IfExp(self, node):
        self._condition(node.test)
        self.generic_visit(node)

    def visit_Compare(self, node):
        for place, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                operators = [*node.ops]
                operators[place] = other()
                self._changed(node, "comparison", ops=operators)
        for child in (node.left, *node.comparators):
            if not (isinstance(child, ast.Constant) and isinstance(child.value, str)):
                self.visit(child)

    def visit_BinOp(self, node):
        opposite = ARITHMETIC.get(type(node.op))
        if opposite is not None:
            self._changed(node, "arithmetic", op=opposite())
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        self._changed(node, "boolean", op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if _is_not(node):
            self._add(node, "boolean", f"({ast.unparse(node.operand)})")
        elif isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant):
                self._add(node, "constant", f"({-node.operand.value - 1})")
                return
            self._add(node, "sign", f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_Call(self, node):
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in CALLS:
            changed = copy.deepcopy(function)
            changed.attr = CALLS[function.attr]
            self._add(function, "call", ast.unparse(changed))
        elif isinstance(function, ast.Name) and function.id in CALLS and function.id != "sum":
            self._add(function, "call", CALLS[function.id])
        if isinstance(function, ast.Attribute) and function.attr in DROPPED_METHODS:
            of_module = isinstance(function.value, ast.Name) and function.value.id in (
                *("torch", "math", "np", "os"),
            )
            if not of_module:
                self._add(node, "method", f"({ast.unparse(function.value)})")
        for position, keyword in enumerate(node.keywords):
            if keyword.arg is None or keyword.arg in ASSERTING_KEYWORDS:
                continue
            if isinstance(keyword.value, ast.Constant):
                left = [*node.keywords[:position], *node.keywords[position + 1 :]]
                self._changed(node, "keyword", keywords=left)
        self.visit(function)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg not in ASSERTING_KEYWORDS:
                self.visit(keyword.value)

    def visit_Attribute(self, node):
        self.visit(node.value)

    def visit_Subscript(self, node):
        self.visit(node.value)
        if not (isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)):
            self.visit(node.slice)

    def visit_Dict(self, node):
        for value in node.values:
            self.visit(value)

    def visit_JoinedStr(self, node):
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                self.visit(value.value)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self._add(node, "constant", str(not value))
        elif isinstance(value, int):
            self._add(node, "constant", str(value + 1))
        elif isinstance(value, float):
            self._add(node, "constant", repr(2.0 * value if value else 1.0))
        elif isinstance(value, str) and self.texts and any(map(str.isalpha, value)):
            self._add(node, "text", repr(f"XX{value}"))


def _is_text_of(text, node):
    try:
        return ast.dump(ast.parse(f"({text})", mode="eval").body) == ast.dump(node)
    except SyntaxError:
        return False


def _is_not(node):
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
