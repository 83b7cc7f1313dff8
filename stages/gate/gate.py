"""One boundary: read its files for everything declared, hold them against its suite, report, and stamp what passed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from stages.gate import evals_frames, frames, mixture_frames, model_frames, reply_frames, suites
from stages.gate.checks import Suite
from stages.gate.engine import Finding, VacuousError, inspect
from stages.gate.world import Boundary, Rows, Tables, World
from stages.lib import jsonl, paths
from stages.lib.digests import sha256_file

DATA = paths.DATA
SHOWN_IDS = 10
ALL = "all"


def _categories(world: World) -> tuple[str, ...]:
    return world.categories


def _all(_: World) -> tuple[str, ...]:
    return (ALL,)


def _named(world: World) -> tuple[str, ...]:
    return world.names


def _arms(world: World) -> tuple[str, ...]:
    return world.gate.evals.arms


BOUNDARIES: dict[str, Boundary] = {
    "policies": Boundary(_categories, frames.policy_files, ((DATA / "policies", "*.json"),), frames.policies, suites.policies),
    "prompts": Boundary(
        _named,
        frames.prompt_files,
        ((DATA / "prompts" / "train", "*.jsonl"), (DATA / "prompts" / "eval", "*.jsonl")),
        frames.prompts,
        suites.prompts,
        frames.outside,
        suites.outside,
    ),
    "completions": Boundary(
        _named, reply_frames.completion_files, ((DATA / "completions", "*.jsonl"),), reply_frames.completions, suites.completions
    ),
    "verdicts": Boundary(
        _categories, reply_frames.verdict_files, ((DATA / "verdicts", "*.jsonl"),), reply_frames.verdicts, suites.verdicts
    ),
    "kept": Boundary(_categories, reply_frames.kept_files, ((DATA / "kept", "*.jsonl"),), reply_frames.kept, suites.kept),
    "mixture": Boundary(
        _all, mixture_frames.files, ((DATA / "sft", "*.jsonl"), (DATA / "rl", "*.jsonl")), mixture_frames.mixture, suites.mixture
    ),
    "sft": Boundary(_all, model_frames.sft_files, (), model_frames.sft, suites.sft),
    "rl": Boundary(_all, model_frames.rl_files, (), model_frames.rl, suites.rl),
    "evals": Boundary(
        _arms,
        evals_frames.files,
        ((DATA / "evals", "*/*.jsonl"),),
        evals_frames.evals,
        suites.evals,
        rates=evals_frames.malformed,
    ),
}


class Report(BaseModel):
    """What a boundary's gate found; the same for the same files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boundary: str
    ok: bool
    whole: dict[str, list[Finding]]
    """Table -> findings about all names at once, `declared` first."""
    names: dict[str, dict[str, list[Finding]]]
    """Name -> table -> findings."""
    rates: dict[str, dict[str, float]]

    def failures(self) -> list[str]:
        """Every failing check as one line of text, with the rows it names."""
        parts = [("", self.whole), *((f"{name}/", tables) for name, tables in self.names.items())]
        return [
            _line(f"{where}{table}", found)
            for where, tables in parts
            for table, each in tables.items()
            for found in each
            if not found.ok
        ]


def check(boundary: str, world: World) -> Report:
    """Hold one boundary against its suite; nothing is written. Files are only opened when they are the declared ones."""
    where = BOUNDARIES[boundary]
    whole = {"declared": inspect(_declared(where, world), suites.declared())}
    if not _passed(whole):
        return Report(boundary=boundary, ok=False, whole=whole, names={}, rates={})
    tables = {name: where.tables(world, name) for name in where.names(world)}
    names = {name: _inspect(each, where.suite(world.gate)) for name, each in tables.items()}
    if where.whole is not None and where.whole_suite is not None:
        whole |= _inspect(where.whole(world), where.whole_suite(world.gate))
    rates = {name: where.rates(each) for name, each in tables.items()} if where.rates is not None else {}
    ok = _passed(whole) and all(_passed(each) for each in names.values())
    return Report(boundary=boundary, ok=ok, whole=whole, names=names, rates=rates)


def publish(report: Report, world: World) -> None:
    """Write the report, and a stamp for each name that passed; stamps of an earlier run are taken back first."""
    where = BOUNDARIES[report.boundary]
    for old in paths.stamp(report.boundary, ALL).parent.glob("*.ok"):
        old.unlink()
    jsonl.write_json(paths.gate_report(report.boundary), _plain(report))
    for name, tables in report.names.items():
        if _passed(report.whole) and _passed(tables):
            jsonl.write_text(paths.stamp(report.boundary, name), stamp_text(where.files(world, name)))


def stamp_text(files: Sequence[Path]) -> str:
    """The sha256 of the one file; of several, a line for each as `sha256sum` writes it."""
    if len(files) == 1:
        return f"{sha256_file(files[0])}\n"
    return "".join(f"{sha256_file(path)}  {path.as_posix()}\n" for path in files)


def strangers(boundary: str, world: World) -> set[Path]:
    """Files where the boundary's lie that belong to nothing declared."""
    wanted, found = _files(BOUNDARIES[boundary], world)
    return found - wanted


def _files(where: Boundary, world: World) -> tuple[set[Path], set[Path]]:
    wanted = {path for name in where.names(world) for path in where.files(world, name)}
    found = {path for folder, pattern in where.folders for path in folder.glob(pattern) if not path.name.startswith(".")}
    return wanted, found


def _declared(where: Boundary, world: World) -> Rows:
    wanted, found = _files(where, world)
    return [
        {
            "id": path.as_posix(),
            "declared": path in wanted,
            "exists": path.is_file(),
            "filled": path.is_file() and path.stat().st_size > 0,
        }
        for path in sorted(wanted | found)
    ]


def _inspect(tables: Tables, suite: Suite) -> dict[str, list[Finding]]:
    if set(tables) != set(suite):
        raise VacuousError(f"tables {sorted(tables)} and suite {sorted(suite)} differ: something would not be looked at")
    return {table: inspect(tables[table], checks) for table, checks in suite.items()}


def _passed(tables: dict[str, list[Finding]]) -> bool:
    return all(finding.ok for findings in tables.values() for finding in findings)


def _plain(report: Report) -> dict[str, Any]:
    return {**report.model_dump(mode="json"), "failures": report.failures()}


def _line(where: str, found: Finding) -> str:
    named = list(found.ids[:SHOWN_IDS])
    rest = f" and {found.unexpected - len(named)} more" if found.unexpected > len(named) else ""
    detail = found.error or (
        f"{found.unexpected} of {found.rows} rows: {', '.join(named)}{rest}" if named else f"observed {found.observed}"
    )
    limits = ", ".join(f"{key}={value}" for key, value in found.limits.items())
    return f"{where}: {found.check}{f' [{limits}]' if limits else ''}: {detail} ({found.why})"
