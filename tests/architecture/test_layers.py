"""Who may import whom: rooms only lib, lib only downwards, and one door for each heavy package."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.imports import NEUTRAL, STAGES, closure, file_of, files, imports, label, rooms

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"records", "errors"}),
    frozenset(
        {"config", "paths", "jsonl", "seeds", "process", "digests", "revisions", "sources"}
        | {"tracking", "mlflow_mirror", "mlflow_sink"}
    ),
    frozenset({"curves", "policy_text", "transcript", "chat", "checks", "pretrained", "llm"}),
    frozenset({"grader", "training"}),
    frozenset({"cpu_training"}),
)

_TRAINERS = ("stages/lib/cpu_training.py", "stages/sft/", "stages/rl/")
_ADAPTERS = (*_TRAINERS, "stages/lib/training.py", "stages/base/", "stages/reader/")
_MODELS = (*_ADAPTERS, "stages/lib/llm/", "stages/lib/pretrained.py")

DOORS: dict[str, tuple[str, ...]] = {
    "great_expectations": ("stages/gate/",),
    "pandas": ("stages/gate/",),
    "mlflow": ("stages/lib/tracking.py", "stages/lib/mlflow_sink.py"),
    "hydra": ("stages/params.py",),
    "omegaconf": ("stages/params.py",),
    "trl": _TRAINERS,
    "peft": _ADAPTERS,
    "torch": _MODELS,
    "transformers": _MODELS,
    "safetensors": _MODELS,
    "accelerate": _MODELS,
    "datasets": (*_MODELS, "stages/lib/sources"),
    "huggingface_hub": ("stages/lib/pretrained.py", "stages/lib/sources"),
    "llguidance": ("stages/lib/llm/",),
    "openai": ("stages/lib/llm/",),
    "vllm": ("stages/lib/llm/",),
    "dvc": ("stages/gate/sweep.py", "stages/lib/revisions.py"),
}

WHOLLY_HEAVY = frozenset(
    {*(f"stages.lib.llm.{name}" for name in ("branches", "decode", "guide", "prefix")), "stages.lib.cpu_training"}
)
"""Modules that subclass a heavy package's classes: they import it when loaded, and are themselves imported late."""


def _module(path: Path) -> str:
    return label(path).removesuffix(".py").replace("/", ".")


def _layer(name: str) -> int:
    part = name.split(".")[2]
    found = [level for level, names in enumerate(LAYERS) if part in names]
    assert found, f"stages/lib/{part} has no layer: say in LAYERS where it stands"
    return found[0]


def test_rooms_import_only_lib() -> None:
    checked = 0
    for path in files():
        room = path.relative_to(STAGES).parts[0]
        if room not in rooms():
            continue
        for one in imports(path):
            if one.module.startswith("stages."):
                checked += 1
                own = one.module.split(".")[1] in {room, "lib"}
                assert own, f"{label(path)} imports {one.module}: rooms meet through files only"
    assert checked > 50


def test_lib_imports_run_downwards() -> None:
    checked = 0
    for path in sorted((STAGES / "lib").rglob("*.py")):
        here = ".".join(["stages", *path.relative_to(STAGES).with_suffix("").parts])
        if here == "stages.lib.__init__":
            continue
        for one in imports(path):
            if not one.module.startswith("stages.") or one.module == "stages.lib":
                continue
            checked += 1
            assert one.module.startswith("stages.lib."), f"{label(path)} imports the room {one.module}"
            assert _layer(one.module) <= _layer(here), f"{label(path)} imports {one.module}, which stands above it"
    assert checked > 30


def test_heavy_packages_have_one_door_and_are_imported_late() -> None:
    seen = set()
    for path in files():
        for one in imports(path):
            package = one.module.split(".")[0]
            if one.module in WHOLLY_HEAVY:
                assert not one.eager or _module(path) in WHOLLY_HEAVY, f"{label(path)} imports {one.module} when loaded"
            if package in DOORS:
                seen.add(package)
                allowed = any(label(path).startswith(door) for door in DOORS[package])
                assert allowed, f"{label(path)} imports {package}; its doors are {DOORS[package]}"
                late = not one.eager or _module(path) in WHOLLY_HEAVY
                assert late, f"{label(path)} imports {package} when loaded: import it inside the function that needs it"
    assert {"torch", "transformers", "trl", "peft", "mlflow", "hydra", "great_expectations"} <= seen


def test_configs_are_light() -> None:
    """params.py imports every config.py, so none may drag a room's code along."""
    for room in rooms():
        for path in closure([STAGES / room / "config.py"]):
            own = path.relative_to(STAGES).parts[0] == room and path.name != "config.py"
            assert not own, f"stages/{room}/config.py imports {label(path)}"


def test_packages_of_packages_hold_only_their_docstring() -> None:
    """No stage lists them as a dependency, so they must stay without effect."""
    for name in ("__init__.py", "lib/__init__.py"):
        assert len(ast.parse((STAGES / name).read_text(encoding="utf-8")).body) == 1


def test_parts_of_lib_only_re_export() -> None:
    """A stage that imports one module of a part runs its `__init__` too, without depending on it: it must hold no logic."""
    inits = [path for path in (STAGES / "lib").rglob("__init__.py") if "__pycache__" not in path.parts]
    for path in inits:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            plain = isinstance(node, ast.ImportFrom | ast.Import | ast.Assign) or ast.unparse(node).startswith(("'", '"'))
            assert plain, f"{label(path)} does more than re-export"
    assert len(inits) >= 3


def test_every_file_says_what_it_is() -> None:
    for path in files():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{label(path)} has no docstring"


def test_the_neutral_list_names_real_files() -> None:
    for name in NEUTRAL:
        assert file_of(name.removesuffix(".py").replace("/", ".")) is not None, f"{name} is gone: take it off the list"
