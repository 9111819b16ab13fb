"""Every place in the source that raises an error or reports a fault, with its code, words and advice; read with ast.

What a place fills in, such as a file's name, is shown as {name}, or as {...} where it has no name of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CODE = re.compile(r"[A-Z]+-\d{3}")
SPOKEN = re.compile(rf"({CODE.pattern}) (.+)", re.DOTALL)  # a code that is written in front of its words
PLACED = {"Fault", "Missing", "data_error", "damaged"}  # called with (code, place, words, advice)
DAMAGED = "{path}: this file is damaged: "
FILLED = "{...}"
Scope = dict[str, list[ast.expr]]  # what a name is assigned, in the order of the lines


@dataclass(frozen=True)
class Site:
    """A place that uses a code: what is called there, the words, the advice and the file."""

    code: str
    called: str
    words: str
    advice: str
    file: str


def codes(package: Path) -> list[str]:
    """Return every code that a package writes anywhere, sorted."""
    sources = (path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    return sorted({code for source in sources for code in re.findall(rf'"({CODE.pattern})\b', source)})


def sites(package: Path) -> list[Site]:
    """Return the places of a package in the order of their codes."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
    shared = _shared(trees.values())
    found = []
    for path, tree in trees.items():
        found += list(_sites(tree, path.relative_to(package).as_posix(), shared | _assigned(tree.body)))
    return sorted(dict.fromkeys(found), key=lambda site: (site.code, site.file))


def _shared(trees: Iterable[ast.Module]) -> Scope:
    """Return the constants that have one meaning in the whole package, whichever module imports them."""
    found: dict[str, list[ast.expr]] = {}
    for tree in trees:
        for name, values in _assigned(tree.body).items():
            found.setdefault(name, []).extend(values)
    return {name: values for name, values in found.items() if name.isupper() and len(values) == 1}


def _sites(tree: ast.AST, file: str, outer: Scope) -> Iterator[Site]:
    """Yield the places below a node; `outer` is what its names stand for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _sites(node, file, outer | _assigned([*ast.walk(node)]))
            continue
        if isinstance(node, ast.Call):
            yield from _of_call(node, file, outer)
        elif isinstance(node, ast.JoinedStr | ast.Constant):
            match = SPOKEN.match(_text(node, {}))
            if match and not isinstance(tree, ast.JoinedStr):
                yield Site(match[1], "", match[2], "", file)
        yield from _sites(node, file, outer)


def _of_call(call: ast.Call, file: str, names: Scope) -> Iterator[Site]:
    """Yield the place of a call that has a code among its arguments."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    codes = [at for at, given in enumerate(call.args) if CODE.fullmatch(_text(given, names))]
    if not codes or called in {"fullmatch", "get", "startswith"}:
        return
    rest = call.args[codes[0] + 1 :]
    rest = rest[1:] if called in PLACED else rest
    said = [_text(given, names) for given in rest]
    said = [text for text in said if text] if called in PLACED or called.endswith("Error") else _spoken(said)
    words, advice = (*said, "", "")[:2]
    if words:
        words = DAMAGED + words if called == "damaged" else words
        yield Site(_text(call.args[codes[0]], names), called, words, advice, file)


def _spoken(said: list[str]) -> list[str]:
    """Return the texts among the arguments of a helper: those of several words."""
    return [text for text in said if " " in text]


def _assigned(nodes: Iterable[ast.AST]) -> Scope:
    """Return what simple names are assigned."""
    found: Scope = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            for name, value in _targets(node.targets[0], node.value):
                found.setdefault(name, []).append(value)
    return {name: sorted(values, key=lambda value: value.lineno) for name, values in found.items()}


def _targets(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, said in zip(target.elts, value.elts, strict=True):
            yield from _targets(one, said)


def _value(name: ast.Name, names: Scope) -> ast.expr | None:
    """Return what a name was last assigned above the line that uses it; of a module's names, wherever that is."""
    known = names.get(name.id, [])
    above = [value for value in known if value.lineno <= name.lineno]
    return above[-1] if above else known[0] if known and name.id.isupper() else None


def _text(node: ast.expr, names: Scope) -> str:
    """Return the text that an expression stands for, with {name} for what is filled in; "" where it is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_part(part, names) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, names) + _text(node.right, names)
    if isinstance(node, ast.IfExp):
        return _either(_text(node.body, names), _text(node.orelse, names))
    if isinstance(node, ast.BoolOp):  # a guess, or else these words
        return _text(node.values[-1], names)
    if isinstance(node, ast.Name):
        value = _value(node, names)
        rest = {name: found for name, found in names.items() if name != node.id}
        return FILLED if value is None else _text(value, rest)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"strip", "replace"}:
        return _text(node.func.value, names)
    return FILLED if isinstance(node, ast.Call | ast.Attribute | ast.Subscript) else ""


def _part(part: ast.expr, names: Scope) -> str:
    if not isinstance(part, ast.FormattedValue):
        return _text(part, names)
    value = part.value
    if isinstance(value, ast.Name):
        constant = _value(value, names)
        if isinstance(constant, ast.Constant) and (value.id.isupper() or isinstance(constant.value, str)):
            return f"{constant.value:,}" if isinstance(constant.value, int) else str(constant.value)
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
    return f"{{{'type' if name == '__name__' else name}}}" if name else FILLED


def _either(first: str, second: str) -> str:
    return first if not second or first == second else second if not first else f"{first} / {second}"
