"""A stage's deps cover all code it imports, so that no change of code leaves a stale result; and nothing it never reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.architecture.imports import NEUTRAL, ROOT, STAGES, closure, label
from tests.architecture.test_rooms_are_stages import room_of, stage_entries

_PARENTS = {"stages/__init__.py", "stages/lib/__init__.py"}


def _deps(entry: dict[str, Any]) -> list[str]:
    return [dep for dep in entry.get("deps", []) if dep.startswith("stages/")]


def _within(file: str, dep: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


def _needed(room: str) -> set[str]:
    """Every file a room's process reads as code or prompt text."""
    own = [path for path in (STAGES / room).rglob("*.py") if "__pycache__" not in path.parts]
    found = closure(own)
    texts = {text for path in found for text in _texts_beside(path)}
    return {label(path) for path in found | texts} - _PARENTS - set(NEUTRAL)


def _texts_beside(path: Path) -> list[Path]:
    code = path.read_text(encoding="utf-8")
    return [text for text in path.parent.iterdir() if text.is_file() and text.suffix not in {".py", ".pyc"} and text.name in code]


def test_deps_cover_the_import_closure(repo: Path) -> None:
    checked = 0
    for name, entry in stage_entries(repo).items():
        deps = _deps(entry)
        assert f"stages/{room_of(entry)}" in deps, f"{name} does not depend on its own room"
        needed = sorted(_needed(room_of(entry)))
        missing = [need for need in needed if not any(_within(need, dep) for dep in deps)]
        checked += len(needed)
        assert not missing, f"dvc.yaml: {name} imports code it does not depend on; add to its deps:\n  " + "\n  ".join(missing)
    assert checked > 200


def test_deps_name_no_code_that_is_not_imported(repo: Path) -> None:
    for name, entry in stage_entries(repo).items():
        needed = _needed(room_of(entry))
        for dep in _deps(entry):
            assert (ROOT / dep).exists(), f"dvc.yaml: {name} depends on {dep}, which does not exist"
            used = any(_within(need, dep) for need in needed)
            assert used, f"dvc.yaml: {name} depends on {dep}, which it never imports: a change there would re-run it for nothing"


def test_no_stage_depends_on_neutral_code_or_on_itself(repo: Path) -> None:
    for name, entry in stage_entries(repo).items():
        for dep in _deps(entry):
            assert dep not in NEUTRAL, f"{name} depends on {dep}: {NEUTRAL[dep]}"
            assert dep not in {"stages", "stages/lib"}, f"{name} depends on all of {dep}"
