"""Nothing in lightune writes, renames or removes a file but through durable.py: read from the source itself."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lightune

PACKAGE = Path(lightune.__file__).parent
WRITER = "durable.py"

# Whatever object they are called on.
CALLS = {
    "write_text", "write_bytes", "mkdir", "makedirs", "unlink", "rmdir", "removedirs", "rmtree", "symlink_to",
    "hardlink_to", "touch", "symlink", "link", "copyfile", "copyfileobj", "copytree", "copy2",
    "save_file", "save_pretrained", "save_model", "to_csv", "to_json", "to_parquet", "to_excel", "write_table",
    "savefig", "savez", "savetxt", "tofile", "extractall", "TemporaryDirectory", "NamedTemporaryFile",
    "TemporaryFile", "mkdtemp", "mkstemp", "memmap", "rename",
}  # fmt: skip
# Of these modules, or of any in the case of a name that is imported.
OF_MODULES = {
    "os": {"open", "remove", "replace", "renames", "truncate"}, "json": {"dump"}, "pickle": {"dump"},
    "shutil": {"copy", "move"}, "torch": {"save"}, "np": {"save"}, "numpy": {"save"}, "book": {"save"},
}  # fmt: skip

ALLOWED = {
    ("cli/main.py", "_failed"): "os.open: stdout becomes the null device when its reader is gone",
    ("cli/push.py", "command"): "a temporary folder, for the merged model that is uploaded from it",
    ("data/arrow_columns.py", "nameless_file"): "a temporary file without a name; nothing of it outlives the process",
    ("data/encoding.py", "array"): "a map of a nameless file, to read",
    ("inference/answer_files.py", "_parquet"): "a nameless file, which the writer then reads",
    ("inference/excel_answers.py", "write_sheet"): "a nameless file, which the writer then reads",
    ("inference/classifier.py", "save_pretrained"): "transformers writes into the temporary folder of `library_files`",
    ("models/tokenizer_files.py", "save_tokenizer"): "the tokenizer writes into that of `library_files`",
    ("publishing.py", "merged_upload"): "`Classifier.save_pretrained`, which goes through the writer",
    ("methods/peft_method.py", "write_config"): "PEFT writes into the temporary folder of `library_files`",
    ("report/plots.py", "_rendered"): "an SVG in memory",
    ("sklearn.py", "__init__"): "a temporary folder, in which the run folder is made by the writer",
    ("training/cache_frozen.py", "_room"): "a nameless file that is mapped; nothing of it outlives the process",
}


def opens_to_write(call: ast.Call) -> bool:
    """`open(...)` and `path.open(...)` with a mode that is not plain reading, or one that is not written out."""
    is_name = isinstance(call.func, ast.Name) and call.func.id == "open"
    is_method = isinstance(call.func, ast.Attribute) and call.func.attr in {"open", "fdopen"}
    if not (is_name or is_method):
        return False
    place = 1 if is_name else 0
    given = [*call.args[place : place + 1], *(word.value for word in call.keywords if word.arg == "mode")]
    modes = [mode.value if isinstance(mode, ast.Constant) else "w" for mode in given]
    return any(set("wax+") & set(str(mode)) for mode in modes)


def writes(call: ast.Call) -> bool:
    if opens_to_write(call):
        return True
    if isinstance(call.func, ast.Name):
        return call.func.id in CALLS
    if not isinstance(call.func, ast.Attribute):
        return False
    name, owner = call.func.attr, call.func.value
    if ast.unparse(owner) == "disk":
        return False
    module = owner.id if isinstance(owner, ast.Name) else ""
    # A text's `replace` takes two values, a path's one.
    is_path = name == "replace" and len(call.args) == 1 and not call.keywords
    return name in CALLS or is_path or name in OF_MODULES.get(module, set())


def found_in(source: str) -> Iterator[tuple[str, str]]:
    """Yield (the function, the code) of each call that writes."""

    def visit(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.Call) and writes(node):
            yield function, ast.unparse(node)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    yield from visit(ast.parse(source), "")


@pytest.mark.guarantee("Every file of a run, of an adapter and of answers is written by one module")
def test_only_the_writer_writes(record_property: Callable[[str, object], None]) -> None:
    modules = sorted(PACKAGE.rglob("*.py"))
    found = {
        (path.relative_to(PACKAGE).as_posix(), function): code
        for path in modules
        if path != PACKAGE / WRITER
        for function, code in found_in(path.read_text(encoding="utf-8"))
    }
    assert {place: code for place, code in found.items() if place not in ALLOWED} == {}
    assert set(ALLOWED) - set(found) == set(), "exceptions that are not needed any more"
    record_property("figure", f"{len(modules)} modules, {len(ALLOWED)} exceptions, each with its reason")


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')", "open(path, mode='ab')", "path.open('x')", "open(path, mode)", "path.write_text('')",
        "path.write_bytes(b'')", "path.mkdir()", "path.rename(new)", "path.replace(new)", "os.replace(a, b)",
        "path.unlink()", "shutil.rmtree(path)", "shutil.copy(a, b)", "shutil.copytree(a, b)", "json.dump(a, file)",
        "frame.to_csv(path)", "save_file(a, path)", "model.save_pretrained(path)", "torch.save(a, path)",
        "os.open(path, flags)", "os.remove(path)", "rmtree(path)", "path.open('r+')",
    ],
)  # fmt: skip
def test_each_way_to_write_is_seen(code: str) -> None:
    assert [found for _, found in found_in(f"def f():\n    {code}\n")] == [code]


@pytest.mark.parametrize("code", ["open(path)", "path.open('rb')", "text.replace('a', 'b')", "replace(run, a=1)"])
def test_reading_is_not_writing(code: str) -> None:
    assert list(found_in(code)) == []
