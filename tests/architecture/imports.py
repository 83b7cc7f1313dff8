"""Imports of the code as data, read from the syntax tree: nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
STAGES = ROOT / "stages"

NEUTRAL = {
    "stages/lib/errors.py": "words of an error message",
    "stages/lib/paths.py": "where a file lies: a moved file changes dvc.yaml itself",
    "stages/lib/config.py": "how params.yaml is read: DVC compares the values themselves",
    "stages/lib/tracking.py": "a sink: nothing reads it back",
    "stages/lib/mlflow_mirror.py": "a sink: nothing reads it back",
    "stages/lib/mlflow_sink.py": "a sink: nothing reads it back",
    "stages/lib/process.py": "locks and signals of the running process",
}
"""Modules that change no byte of any output, so no stage depends on them, nor on what only they import."""


class Import(NamedTuple):
    """One imported module, and whether the statement runs when the importing module is loaded."""

    module: str
    eager: bool


def files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(path for path in STAGES.rglob("*.py") if "__pycache__" not in path.parts)


def label(path: Path) -> str:
    """The path as dvc.yaml writes it."""
    return path.relative_to(ROOT).as_posix()


def rooms() -> list[str]:
    """Folders of stages/, but lib."""
    return sorted(path.parent.name for path in STAGES.glob("*/__init__.py") if path.parent.name != "lib")


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file, those inside functions too; those for type checking only are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {id(node) for guard in ast.walk(tree) if _is_type_checking(guard) for node in ast.walk(guard)}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        for module in _modules(node):
            yield Import(module, id(node) not in late)


def closure(start: list[Path]) -> set[Path]:
    """All files of the package that these import, directly or not, not looking through the neutral ones."""
    found: set[Path] = set()
    todo = list(start)
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        if label(path) not in NEUTRAL:
            todo += [target for one in imports(path) if (target := file_of(one.module)) is not None]
    return found


def file_of(module: str) -> Path | None:
    """The file of a module of this package; None for anything else."""
    base = ROOT.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if module.split(".")[0] == "stages" and candidate.exists():
            return candidate
    return None


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute in this package"
        base = node.module or ""
        # `from stages.lib import paths` imports a module; `from stages.lib.paths import PARAMS` a name.
        return [base, *(f"{base}.{alias.name}" for alias in node.names if file_of(f"{base}.{alias.name}"))]
    return []


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
