"""DVC's md5 of a path, for naming datasets: from dvc.lock where the path is a stage's output, else computed the same way."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

_IGNORED = {".gitignore", "__pycache__"}  # what .dvcignore keeps out of DVC's own digests
_CHUNK = 1 << 20


def digest_of(path: Path) -> str | None:
    """md5 of a file, or DVC's `<md5>.dir` of a folder; None when it does not exist."""
    root = Path(os.environ.get("DVC_ROOT", "."))
    if not path.exists():
        return None
    lock = root / "dvc.lock"
    known = _locked(str(lock), lock.stat().st_mtime_ns) if lock.exists() else {}
    return known.get(path.as_posix()) or (_folder(path) if path.is_dir() else md5_file(path))


def sha_of_json(value: Any) -> str:
    """16 hex digits of plain data as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def sha256_file(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    return _read(path, hashlib.sha256())


def md5_file(path: Path) -> str:
    """md5 of a file's bytes as they are now."""
    return _read(path, hashlib.md5(usedforsecurity=False))


@functools.lru_cache(maxsize=4)
def _locked(lock: str, _changed: int) -> dict[str, str]:
    from ruamel.yaml import YAML

    stages = (YAML(typ="safe", pure=True).load(Path(lock).read_text(encoding="utf-8")) or {}).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


def _folder(path: Path) -> str:
    files = [file for file in path.rglob("*") if file.is_file() and not _IGNORED & set(file.relative_to(path).parts)]
    listing = [{"md5": md5_file(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    text = json.dumps(sorted(listing, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _read(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return str(digest.hexdigest())
