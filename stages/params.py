"""Compose conf/ into params.yaml and check that the two agree.

    python -m stages.params --write [overrides]   e.g. `--write spec=v2 scale=gpu rl.steps=40`
    python -m stages.params --check               nothing is written; a difference is an error that names the keys

In:  conf/ (Hydra groups, written by hand), every room's config.py
Out: params.yaml, with the overrides it was made with on its first line
Invariants: only a file that every config class accepts is written; YAML 1.2 (DVC), PyYAML and OmegaConf read it alike;
what `dvc exp run -S` composes is what this composes. This is the only door to Hydra.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from stages.lib import paths
from stages.lib.config import Section, load_params, parse_section
from stages.lib.errors import StageError, user_errors
from stages.lib.jsonl import write_text

CONF = Path("conf")
HEADER = "# Generated from conf/; do not edit. Made by: python -m stages.params --write"
SHARED = {"llm": "stages.lib.llm.config:LlmSection", "source": "stages.lib.sources:SourceSection"}
"""Sections that belong to a part of lib rather than to a room: the module and class of each."""


def rooms() -> list[str]:
    """Every folder of stages/ but lib: each is a DVC stage and a section of params.yaml."""
    return sorted(entry.parent.name for entry in Path(__file__).parent.glob("*/__init__.py") if entry.parent.name != "lib")


def section_class(name: str) -> type[Section]:
    """The config class of a section: `<Name>Config` in stages/<name>/config.py, or what SHARED says."""
    module, _, label = SHARED.get(name, f"stages.{name}.config:{name.title()}Config").partition(":")
    kind = getattr(importlib.import_module(module), label)
    assert issubclass(kind, Section)
    return kind


def whole() -> type[Section]:
    """The class of the whole file: one field per section, so that one validation names every mistake at once."""
    sections: dict[str, Any] = {name: (section_class(name), ...) for name in (*rooms(), *SHARED)}
    return create_model("Params", __base__=Section, seed=(int, Field(ge=0)), scale=(str, ...), **sections)


def compose(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """conf/ with overrides as plain data, composed exactly as `dvc exp run` does it."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not CONF.is_dir():
        raise StageError(f"{CONF}/ does not exist", "run it from the repository root")
    try:
        with initialize_config_dir(str(CONF.absolute()), version_base=None):
            config = hydra_compose(config_name="config", overrides=list(overrides))
        OmegaConf.resolve(config)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise StageError(_first_screen(error), "see conf/: a folder is a group, a file in it an option of that group") from None
    return dict(OmegaConf.to_container(config, throw_on_missing=True))  # type: ignore[arg-type]


def render(values: dict[str, Any], overrides: Sequence[str] = ()) -> str:
    """params.yaml as text: canonical scalars, so that every loader reads the same values."""
    from omegaconf import OmegaConf

    return f"{' '.join([HEADER, *map(shlex.quote, overrides)])}\n{OmegaConf.to_yaml(OmegaConf.create(values))}"


def validate(values: dict[str, Any], where: Path | str) -> Section:
    """Every section against its config class."""
    return parse_section(values, whole(), where, "")


def loaders_agree(path: Path) -> None:
    """A value that DVC, PyYAML and OmegaConf read differently is an error: what DVC compares must be what a stage gets."""
    import yaml
    from omegaconf import OmegaConf

    text = path.read_text(encoding="utf-8")
    ours = load_params(path)
    for loader, theirs in (("PyYAML", yaml.safe_load(text)), ("OmegaConf", OmegaConf.to_container(OmegaConf.create(text)))):
        for key, a, b in differences(ours, theirs):
            what = f"{path}: {key}: DVC reads {a!r}, {loader} reads {b!r}"
            raise StageError(what, 'write that value of conf/ so that both agree, like 1.0e-6 or "on"')


def differences(a: Any, b: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value in a, value in b) wherever they differ in value or type."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted({*a, *b}, key=str):
            yield from differences(a.get(name), b.get(name), f"{key}.{name}".lstrip("."))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (left, right) in enumerate(zip(a, b, strict=True)):
            yield from differences(left, right, f"{key}.{place}")
    elif type(a) is not type(b) or a != b:
        yield key, a, b


def made_with(path: Path) -> list[str]:
    """The overrides on the first line of a params.yaml; none when it has no such line."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return shlex.split(first.removeprefix(HEADER)) if first.startswith(HEADER) else []


def write(overrides: Sequence[str]) -> None:
    """Compose, validate, and only then replace params.yaml."""
    values = compose(overrides)
    validate(values, f"{CONF}/")
    write_text(paths.PARAMS, render(values, overrides))
    loaders_agree(paths.PARAMS)
    print(f"params: wrote {paths.PARAMS} ({len(rooms()) + len(SHARED)} sections, scale={values['scale']})")


def check() -> None:
    """params.yaml is valid and is what conf/ composes to."""
    held = load_params(paths.PARAMS)
    validate(held, paths.PARAMS)
    loaders_agree(paths.PARAMS)
    overrides = made_with(paths.PARAMS)
    drift = [f"{key}: holds {a!r}, conf/ says {b!r}" for key, a, b in differences(held, compose(overrides))]
    if drift:
        raise StageError(f"{paths.PARAMS} is not what conf/ composes to:\n  " + "\n  ".join(drift[:20]), _write_again(overrides))
    print(f"params: {paths.PARAMS} agrees with conf/ ({len(rooms()) + len(SHARED)} sections, scale={held['scale']})")


def _write_again(overrides: Sequence[str]) -> str:
    return f"run `{shlex.join(['python', '-m', 'stages.params', '--write', *overrides])}`"


def _first_screen(error: Exception) -> str:
    cause = error.__cause__ or error
    if (key := getattr(cause, "full_key", None)) and isinstance(parent := getattr(cause, "parent_node", None), Mapping):
        return f"conf/: {key}: unknown key (known: {', '.join(sorted(map(str, parent)))})"
    text = str(cause).partition("Config search path")[0]
    return "conf/: " + "\n  ".join([line.strip() for line in text.splitlines() if line.strip()][:12])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m stages.params", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="compose conf/ into params.yaml")
    action.add_argument("--check", action="store_true", help="fail if params.yaml is not what conf/ composes to")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, like spec=v2 or sft.epochs=2")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.overrides)
    elif arguments.overrides:
        parser.error("--check takes no overrides: params.yaml says on its first line what it was made with")
    else:
        check()


if __name__ == "__main__":
    with user_errors():
        main()
