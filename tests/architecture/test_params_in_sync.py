"""conf/ and params.yaml say the same, every option composes, and a wrong override is refused in words."""

from __future__ import annotations

import configparser
import shutil
from pathlib import Path

import pytest

from stages import params
from stages.lib.config import load_params
from stages.lib.errors import StageError


def mounts(group: str, option: str) -> list[str]:
    """Where an option goes: most groups are the section of their name, two are mounted under each use."""
    if group == "llm":
        return ["llm@llm.generator", "llm@llm.judge"]
    return [f"source@source.{option}"] if group == "source" else [group]


def test_params_yaml_is_what_conf_composes_to(repo: Path) -> None:
    drift = list(params.differences(load_params(repo / "params.yaml"), params.compose()))
    assert not drift, f"run `python -m stages.params --write`: {drift}"
    assert params.made_with(repo / "params.yaml") == [], "the committed params.yaml is the default one"


def test_all_loaders_read_params_yaml_alike(repo: Path) -> None:
    params.loaders_agree(repo / "params.yaml")


def test_the_whole_file_is_valid(repo: Path) -> None:
    params.validate(load_params(repo / "params.yaml"), "params.yaml")


def test_hydra_is_on_and_telemetry_off(repo: Path) -> None:
    settings = configparser.ConfigParser()
    settings.read(repo / ".dvc" / "config")
    assert settings["hydra"]["enabled"] == "true"
    assert settings["core"]["analytics"] == "false"


def test_every_option_of_every_group_composes(repo: Path) -> None:
    options = [path for path in sorted((repo / "conf").rglob("*.yaml")) if path.parent != repo / "conf"]
    checked = 0
    for path in options:
        group = path.parent.relative_to(repo / "conf").as_posix()
        for mount in mounts(group, path.stem):
            params.validate(params.compose([f"{mount}={path.stem}"]), f"conf/ with {mount}={path.stem}")
        checked += 1
    assert checked == len(options) >= 15
    print(f"{checked} options compose")


def test_no_experiment_keeps_what_its_own_gate_refuses(repo: Path) -> None:
    """The gate asks a least grade of the worst run, which a filter by the median does not."""
    names = [path.stem for path in (repo / "conf/experiment").glob("*.yaml")]
    assert "majority" in names
    for name in names:
        made = params.compose([f"experiment={name}"])
        by, least = made["filter"]["aggregate"]["compliance"], made["gate"]["kept"]["min_worst_compliance"]
        assert least <= (made["filter"]["min_score"]["compliance"] if by == "min" else 0), name


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rl.step=4", ["rl.step", "step"]),
        ("sft.epochs=abc", ["sft.epochs", "abc"]),
        ("seed=true", ["seed", "True"]),
        ("+colour=red", ["colour", "unknown key"]),
        ("spec=v99", ["spec/v99", "v1"]),
        ("scale", ["scale"]),
    ],
)
def test_a_wrong_override_is_refused_in_words(override: str, words: list[str]) -> None:
    with pytest.raises(StageError) as caught:
        params.validate(params.compose([override]), "conf/")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_wrong_override_leaves_params_yaml_as_it_was(repo: Path, project: Path) -> None:
    shutil.copytree(repo / "conf", project / "conf")
    params.write(["scale=smoke"])
    before = Path("params.yaml").read_bytes()
    with pytest.raises(StageError):
        params.write(["sft.epochs=abc"])
    assert Path("params.yaml").read_bytes() == before
    assert params.made_with(Path("params.yaml")) == ["scale=smoke"]
    params.check()


def test_drift_names_the_key(repo: Path, project: Path) -> None:
    shutil.copytree(repo / "conf", project / "conf")
    params.write([])
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("seed: 7", "seed: 8"), encoding="utf-8")
    with pytest.raises(StageError, match=r"seed: holds 8, conf/ says 7(?s:.)*--write"):
        params.check()


def test_loaders_that_disagree_are_named(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text("rate: 1e-6\n", encoding="utf-8")
    with pytest.raises(StageError, match="rate: DVC reads 1e-06, PyYAML reads '1e-6'"):
        params.loaders_agree(path)
    path.write_text("answer: on\n", encoding="utf-8")
    with pytest.raises(StageError, match="answer: DVC reads 'on'"):
        params.loaders_agree(path)
