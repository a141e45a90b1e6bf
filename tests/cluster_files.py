"""The files that describe clusters, and the versions that they pin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
JOB = yaml.safe_load((ROOT / "sweeps" / "rayjob.yaml").read_text())


def pins(lock: str) -> dict[str, tuple[str, int]]:
    """Return the version of each package in a lock file, and how many hashes its files may have."""
    parts = re.split(r"^(?=[\w.-]+==)", (ROOT / lock).read_text(), flags=re.M)[1:]
    names = [re.match(r"([\w.-]+)==(\S+)", part) for part in parts]
    return {name[1]: (name[2], part.count("--hash=sha256:")) for name, part in zip(names, parts, strict=True) if name}


def ray_version() -> str:
    return pins("requirements-cluster.lock")["ray"][0]


def cluster_of(job: dict[str, Any]) -> dict[str, Any]:
    return job["spec"]["rayClusterSpec"]
