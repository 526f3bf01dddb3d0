"""Parts of a test with names: selected with ``-k``, recorded, and survived with ``--keep-going``.

A ``with`` statement cannot leave its body out by itself. So a script is compiled with one change: the
body of each ``with subtest(…):`` runs only when the subtest is selected. A subtest that is not selected
but holds others is entered for their sake.

Invariant: line numbers and everything else of a script stay as they are written.
"""

from __future__ import annotations

import ast
import time
from types import CodeType, TracebackType
from typing import Callable, List, Optional, Tuple, Type

from .log import Log

#: Characters of a failure that the session's other clients are told.
MOST_TOLD = 4000
_VARIABLE = "_diorama_subtest_"


class Subtest:
    """A subtest while it runs; what ``subtest(name)`` gives."""

    def __init__(self, suite: Suite, name: str) -> None:
        self._suite = suite
        self.name = name
        self._path: List[str] = []
        self._begun: Optional[float] = None

    def __enter__(self) -> Subtest:
        self._suite.stack.append(self.name)
        self._path = list(self._suite.stack)
        return self

    def wanted(self, holds_others: bool) -> bool:
        """Whether the body is to run; called by what the compiled script's body begins with."""
        selected = self._suite.selects(self._path)
        if not selected and not holds_others:
            self._suite.skipped(self._path)
            return False
        self.begin(selected)
        return True

    def begin(self, selected: bool = True) -> None:
        """Begins, unless it has begun."""
        if self._begun is None:
            self._begun = time.monotonic()
            if selected:
                self._suite.began(self._path)

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> bool:
        try:
            if self._begun is None and error is None:
                return False
            took = time.monotonic() - (self._begun or time.monotonic())
            return self._suite.ended(self._path, error, took)
        finally:
            self._suite.stack.pop()


class Suite:
    """The subtests of a run and what became of them."""

    def __init__(
        self,
        log: Log,
        patterns: Tuple[str, ...] = (),
        keep_going: bool = False,
        describe: Callable[[BaseException], str] = str,
        tell: Callable[..., None] = lambda *_args, **_fields: None,
    ) -> None:
        self._log = log
        self._patterns = tuple(p.casefold() for p in patterns)
        self._keep_going = keep_going
        self._describe = describe
        self._tell = tell
        self._reported: Optional[BaseException] = None
        self.stack: List[str] = []
        self.passed: List[str] = []
        self.failed: List[str] = []
        self.left_out: List[str] = []

    def begin(self) -> None:
        """Forgets an earlier run of the script."""
        self.stack.clear()
        for names in (self.passed, self.failed, self.left_out):
            names.clear()

    def subtest(self, name: str) -> Subtest:
        """A part of the test with a name of its own: ``with subtest("pages are served"):``."""
        return Subtest(self, str(name))

    def selects(self, path: List[str]) -> bool:
        """Whether a subtest, or one that it is in, has one of the patterns in its name.

        A pattern that begins with ``=`` is a whole name.
        """
        whole = " / ".join(path).casefold()

        def fits(pattern: str) -> bool:
            if pattern.startswith("="):
                return f"{whole} / ".startswith(f"{pattern[1:]} / ")
            return pattern in whole

        return not self._patterns or any(fits(p) for p in self._patterns)

    def began(self, path: List[str]) -> None:
        """Takes in a beginning."""
        self._log.line(f"subtest: {' / '.join(path)}", style="1;36")
        self._log.event("subtest-begin", name=path)
        self._tell("subtestBegin", None, name=path)

    def skipped(self, path: List[str]) -> None:
        """Takes in that a subtest was not selected."""
        self.left_out.append(" / ".join(path))
        self._log.event("subtest-end", name=path, result="skipped", seconds=0.0)
        self._tell("subtestEnd", None, name=path, result="skipped", ms=0)

    def ended(self, path: List[str], error: Optional[BaseException], took: float) -> bool:
        """Takes in an end; whether the run goes on after an error."""
        if not self.selects(path):
            return False
        name = " / ".join(path)
        took = round(took, 4)
        if error is None:
            self.passed.append(name)
            self._log.line(f"passed: {name} ({took:.1f} s)", style="32")
            self._log.event("subtest-end", name=path, result="passed", seconds=took)
            self._tell("subtestEnd", None, name=path, result="passed", ms=round(took * 1000))
            return False
        self.failed.append(name)
        message = f"{type(error).__name__}: {error}"
        details = None
        if error is not self._reported:
            # The same error leaves every subtest around it; it is described once.
            self._reported = error
            details = self._describe(error)
            self._log.report(details)
        self._log.line(f"failed: {name} ({took:.1f} s)", style="31", force=True)
        result = "failed" if isinstance(error, AssertionError) else "error"
        self._log.event(
            "subtest-end", name=path, result=result, seconds=took, message=message, details=details
        )
        told = (details or message)[:MOST_TOLD]
        self._tell("subtestEnd", error, name=path, result=result, ms=round(took * 1000), message=told)
        return self._keep_going and isinstance(error, Exception) and getattr(error, "survivable", True)

    def was_reported(self, error: BaseException) -> bool:
        """Whether an error has been described already."""
        return error is self._reported


def compile_script(text: str, filename: str) -> CodeType:
    """Compiles a script so that its subtests can be selected."""
    tree = ast.parse(text, filename)
    tree = ast.fix_missing_locations(_Guard().visit(tree))
    return compile(tree, filename, "exec", dont_inherit=True)


def _is_subtest(item: ast.withitem) -> bool:
    call = item.context_expr
    if not isinstance(call, ast.Call) or item.optional_vars is not None:
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name == "subtest"


class _Guard(ast.NodeTransformer):
    """Puts the bodies of subtests under a condition."""

    def __init__(self) -> None:
        self._count = 0

    def visit_With(self, node: ast.With) -> ast.AST:  # noqa: N802 - the name is ast's
        holds_others = any(
            _is_subtest(item)
            for inner in ast.walk(node)
            if isinstance(inner, ast.With) and inner is not node
            for item in inner.items
        )
        self.generic_visit(node)
        mine = [item for item in node.items if _is_subtest(item)]
        if not mine:
            return node
        self._count += 1
        condition: Optional[ast.expr] = None
        for number, item in enumerate(mine):
            variable = f"{_VARIABLE}{self._count}_{number}"
            item.optional_vars = ast.copy_location(ast.Name(variable, ast.Store()), item.context_expr)
            asked: ast.expr = ast.Call(
                ast.Attribute(ast.Name(variable, ast.Load()), "wanted", ast.Load()),
                [ast.Constant(holds_others)],
                [],
            )
            condition = asked if condition is None else ast.BoolOp(ast.And(), [condition, asked])
        assert condition is not None  # there is at least one item
        guard = ast.If(condition, node.body, [])
        node.body = [ast.copy_location(guard, node.items[0].context_expr)]
        for child in ast.walk(condition):
            ast.copy_location(child, node.items[0].context_expr)
        return node
