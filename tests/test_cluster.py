"""cluster.yaml, by Ray's own two validators: each misses what the other finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "cluster.yaml").read_text())

VALIDATE = """
import sys, yaml
from ray.autoscaler._private.util import prepare_config, validate_config
validate_config(prepare_config(yaml.safe_load(sys.stdin.read())))
"""


def schema() -> dict:
    import ray

    return json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())


@pytest.mark.filterwarnings("default")
def test_rays_schema() -> None:
    jsonschema.validate(CONFIG, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**CONFIG, "max_worker": 1}, schema())


def test_rays_validator() -> None:
    """In a process of its own, since it imports much of Ray."""
    for config, good in ((CONFIG, True), ({**CONFIG, "head_node_type": "none"}, False)):
        done = subprocess.run(
            [sys.executable, "-c", VALIDATE], input=yaml.safe_dump(config), text=True, check=False, capture_output=True
        )
        assert (done.returncode == 0) is good, done.stderr


def test_it_installs_this_project_and_keeps_the_head_on_demand() -> None:
    types = CONFIG["available_node_types"]
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    commands = " ".join(CONFIG["setup_commands"])
    assert "requirements.lock" in commands
    assert "--editable /home/ray/rmtsim" in commands
    pinned = next(line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("ray=="))
    assert f"rayproject/ray:{pinned.split()[0].removeprefix('ray==')}-py311" in CONFIG["docker"]["image"]
