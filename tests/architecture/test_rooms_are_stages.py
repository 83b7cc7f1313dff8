"""The same word names the room, the DVC stage, the section of params.yaml, the group of conf/ and the folder of tests/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stages.lib.config import load_params, read_yaml
from tests.architecture.imports import rooms

SHARED_GROUPS = {"llm", "source", "scale", "experiment"}


def stage_entries(repo: Path) -> dict[str, dict[str, Any]]:
    """Stage name -> definition, the `do` of a foreach in its place."""
    entries = read_yaml(repo / "dvc.yaml")["stages"]
    return {name: entry.get("do", entry) for name, entry in entries.items()}


def room_of(entry: dict[str, Any]) -> str:
    """The room a stage runs."""
    match = re.match(r"python -m stages\.(\w+)( |$)", entry["cmd"])
    assert match, f"{entry['cmd']}: a stage runs `python -m stages.<room>` and nothing else"
    return match[1]


def test_every_room_is_a_stage_and_every_stage_a_room(repo: Path) -> None:
    entries = stage_entries(repo)
    assert {room_of(entry) for entry in entries.values()} == set(rooms())
    for name, entry in entries.items():
        assert name == room_of(entry) or name.startswith(f"{room_of(entry)}_"), f"stage {name} runs the room {room_of(entry)}"


def test_every_room_is_a_section_of_params(repo: Path) -> None:
    assert set(load_params(repo / "params.yaml")) == {*rooms(), "seed", "scale", "llm", "source"}


def test_every_room_is_a_group_of_conf(repo: Path) -> None:
    groups = {path.name for path in (repo / "conf").iterdir() if path.is_dir()}
    assert groups == {*rooms(), *SHARED_GROUPS}


def test_every_room_has_tests(repo: Path) -> None:
    without = [room for room in rooms() if not list((repo / "tests" / room).glob("test_*.py"))]
    assert not without, f"no tests: {without}"


def test_a_room_has_its_four_files(repo: Path) -> None:
    for room in rooms():
        folder = repo / "stages" / room
        names = {path.name for path in folder.iterdir()}
        assert {"__init__.py", "__main__.py", "config.py"} <= names, f"stages/{room} lacks one of its files"
        contract = (folder / "__init__.py").read_text(encoding="utf-8")
        assert all(word in contract for word in ("In:", "Out:", "Invariant")), f"stages/{room}/__init__.py is no contract"


def test_nothing_about_the_machine_is_in_a_command(repo: Path) -> None:
    """`cmd` is part of a stage's hash: a launcher or an endpoint in it would re-run everything when it moves."""
    for name, entry in stage_entries(repo).items():
        arguments = entry["cmd"].split()[3:]
        assert all(re.fullmatch(r"--[a-z]+|\$\{(item\.\w+|key)\}|[a-z_]+", word) for word in arguments), f"{name}: {entry['cmd']}"


def test_the_arms_are_the_same_everywhere(repo: Path) -> None:
    """dvc.yaml names them too, because the gate that stands before an arm's checkpoint is not evals' business."""
    arms = read_yaml(repo / "dvc.yaml")["stages"]["evals"]["foreach"]
    params = load_params(repo / "params.yaml")
    assert {arm: f"models/{part['model']}" for arm, part in arms.items()} == params["evals"]["arms"]
    assert list(arms) == params["gate"]["evals"]["arms"]


def test_gates_stand_on_every_boundary(repo: Path) -> None:
    """What a stage reads of a gated boundary comes with the gate's stamp among its deps."""
    entries = stage_entries(repo)
    boundaries = {name.removeprefix("gate_") for name in entries if name.startswith("gate_")}
    assert boundaries == set(load_params(repo / "params.yaml")["gate"])
    before = {"prompts": "policies", "generate": "prompts", "judge": "completions", "filter": "verdicts", "mix": "kept"}
    before |= {"sft": "mixture", "rl": "sft", "report": "evals"}
    for stage, boundary in before.items():
        stamps = [dep for dep in entries[stage]["deps"] if dep.startswith(f"data/gates/{boundary}")]
        assert stamps, f"{stage} runs without the word of gate_{boundary}"
