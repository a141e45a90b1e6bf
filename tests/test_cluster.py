"""cluster.yaml by Ray's own two validators, each of which misses what the other finds; what it pins and closes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cluster_files import JOB, ROOT, cluster_of, pins, ray_version

TEXT = (ROOT / "cluster.yaml").read_text()
AWS = yaml.safe_load(TEXT)
OWN_HOSTS = {
    key: value for key, value in AWS.items() if key not in ("available_node_types", "head_node_type", "max_workers")
} | yaml.safe_load("\n".join(line[3:] for line in TEXT.splitlines() if line.startswith("#|")))

VALIDATE = """
import sys, yaml
from ray.autoscaler._private.util import prepare_config, validate_config
validate_config(prepare_config(yaml.safe_load(sys.stdin.read())))
"""
PARSE = """
import sys
from ray.scripts.scripts import start
start.make_context("start", sys.argv[1:])
"""


#: What closes the ports of Ray's metrics, which ask for no token; their names, and the values.
NO_METRICS = {
    "RAY_enable_metrics_collection": "0",
    "AUTOSCALER_METRIC_PORT": "-1",
    "DASHBOARD_METRIC_PORT": "-1",
}


def schema() -> dict[str, Any]:
    import ray

    return json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("config", [AWS, OWN_HOSTS], ids=["aws", "own hosts"])
def test_rays_schema(config: dict[str, Any]) -> None:
    jsonschema.validate(config, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "max_worker": 1}, schema())


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (AWS, {"head_node_type": "none"}),
        (OWN_HOSTS, {"provider": {"type": "local", "worker_ips": []}}),
    ],
    ids=["aws", "own hosts"],
)
def test_rays_validator(config: dict[str, Any], wrong: dict[str, Any]) -> None:
    """In a process of its own, since it imports much of Ray."""
    for document, good in ((config, True), (config | wrong, False)):
        done = subprocess.run(
            [sys.executable, "-c", VALIDATE],
            input=yaml.safe_dump(document),
            text=True,
            check=False,
            capture_output=True,
        )
        assert (done.returncode == 0) is good, done.stderr


def parsed(command: str) -> bool:
    """Whether Ray's own parser takes the options of a `ray start`."""
    settings, start, options = command.partition("ray start ")
    assert re.fullmatch(r"([A-Z_]+=\w+ )*", settings)
    assert start
    line = [sys.executable, "-c", PARSE, *shlex.split(options)]
    return subprocess.run(line, check=False, capture_output=True).returncode == 0


def test_ray_start_has_these_options() -> None:
    (head,), (worker,) = AWS["head_start_ray_commands"], AWS["worker_start_ray_commands"]
    assert parsed(head)
    assert parsed(worker)
    assert not parsed(f"{worker} --disable-usage-statistics")


def test_it_installs_this_project_and_keeps_the_head_on_demand() -> None:
    types = AWS["available_node_types"]
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert types["head"]["resources"] == {"CPU": 0}
    check_installs([shlex.split(command) for command in AWS["setup_commands"]], "/home/ray/rmtsim")
    assert AWS["file_mounts"]["/home/ray/rmtsim"] == "."
    assert f"rayproject/ray:{ray_version()}-py311" in AWS["docker"]["image"]


def check_installs(commands: list[list[str]], folder: str) -> None:
    """What is downloaded has a hash; then this project is installed, which downloads nothing."""
    locked, own = commands
    assert locked[:2] == own[:2] == ["pip", "install"]
    assert "--require-hashes" in locked
    assert locked[-2:] == [
        "-r",
        "requirements-cluster.lock" if folder == "." else f"{folder}/requirements-cluster.lock",
    ]
    assert {"--no-deps", "--no-build-isolation"} < {*own}
    assert own[-2:] == ["--editable", folder]


def test_nothing_is_installed_without_a_hash() -> None:
    """In the image of the job, either; and the lock has what the extras ask for."""
    text = (ROOT / "sweeps" / "rayjob.yaml").read_text()
    image = text.partition("RUN ")[2].partition("END")[0].replace("#", "").replace("\\", "")
    check_installs([shlex.split(command) for command in image.split("&&")], "rmtsim")
    pinned = pins("requirements-cluster.lock")
    for name in ("cupy-cuda12x", "nvidia-cublas-cu12", "grpcio", "aiohttp", "ray", "hatchling", "pyarrow"):
        assert pinned[name][1] > 0, name


def test_what_is_pinned_is_pinned_the_same_everywhere() -> None:
    """Ray in its image, in the job and in the lock files; CuPy and cuBLAS of one version of CUDA."""
    locks = [pins(lock) for lock in ("requirements.lock", "requirements-test.lock", "requirements-cluster.lock")]
    assert {pinned["ray"] for pinned in locks} == {pins("requirements-cluster.lock")["ray"]}
    launch_files = [*(ROOT / "sweeps").glob("*.yaml"), *(ROOT / "sweeps").glob("*.sh"), ROOT / "cluster.yaml"]
    text = "".join(path.read_text() for path in launch_files)
    images = re.findall(r"rayproject/ray:(\S+)", text)
    assert {*images} == {f"{ray_version()}-py311-gpu"}
    assert len(images) == 2
    assert {*re.findall(r"requirements[\w-]*", text)} == {"requirements-cluster"}
    pinned = locks[-1]
    assert pinned["cupy-cuda12x"][0].startswith("14.")
    for name in ("cublas", "cuda-nvrtc", "cuda-runtime", "curand"):
        assert pinned[f"nvidia-{name}-cu12"][1] > 0
    assert pinned["nvidia-cublas-cu12"][0].startswith("12.")
    assert not any("cu13" in name or "cuda13" in name for name in pinned)


def containers(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the containers of the job: of the head, of the autoscaler beside it, of the workers."""
    cluster = cluster_of(job)
    yield from cluster["headGroupSpec"]["template"]["spec"]["containers"]
    yield cluster["autoscalerOptions"]
    for group in cluster["workerGroupSpecs"]:
        yield from group["template"]["spec"]["containers"]


def test_nothing_runs_as_root() -> None:
    """The image has sudo for all: on Kubernetes nobody becomes root by it; the launcher itself needs it."""
    for config in (AWS, OWN_HOSTS):
        assert "--user ray" in config["docker"]["run_options"]
        assert config["auth"]["ssh_user"] != "root"
    cluster = cluster_of(JOB)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        user = group["template"]["spec"]["securityContext"]
        assert (user["runAsNonRoot"], user["runAsUser"]) == (True, 1000)
    for container in containers(JOB):
        rights = container["securityContext"]
        assert (rights["allowPrivilegeEscalation"], rights["capabilities"]) == (False, {"drop": ["ALL"]})


def test_ports_that_ask_for_no_token_are_closed() -> None:
    """Those of Ray's metrics, in each of the files; docs/how-to/metrics.md says how to open them."""
    for config in (AWS, OWN_HOSTS):
        options = config["docker"]["run_options"]
        assert {f"--env {name}={value}" for name, value in NO_METRICS.items()} <= {*options}
    for container in containers(JOB):
        given = {one["name"]: one["value"] for one in container["env"]}
        assert given.items() >= NO_METRICS.items()
    script = (ROOT / "sweeps" / "slurm.sh").read_text()
    assert "export " + " ".join(f"{name}={value}" for name, value in NO_METRICS.items()) + "\n" in script


def test_every_node_wants_the_token_and_reports_to_no_one() -> None:
    for config in (AWS, OWN_HOSTS):
        assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
        options = config["docker"]["run_options"]
        for setting in ("AUTH_MODE=token", "USAGE_STATS_ENABLED=0", "USAGE_STATS_REPORT_URL=http://127.0.0.1:9"):
            assert f"--env RAY_{setting}" in options


# --- the guides on clusters ---

GUIDES = {
    name: (ROOT / "docs" / "how-to" / f"{name}.md").read_text("utf-8")
    for name in ("ray-cluster", "cloud", "kubernetes", "metrics")
}


def test_the_commands_of_the_guides_are_commands() -> None:
    from rmtsim.cli.parser import parser

    text = "".join(GUIDES.values())
    commands = re.findall(r"^    .*?rmtsim ((?:run|status) [^'`\n#\\]*)", text, re.M)
    verbs = [parser().parse_args(shlex.split(command)).verb for command in commands]
    assert sorted({*verbs}) == ["run", "status"]
    starts = re.findall(r"^    (ray start .*)", text, re.M)
    assert len(starts) == 2
    assert all(parsed(command) for command in starts)
    for guide, folder in (("ray-cluster", "."), ("cloud", ".")):
        installs = re.findall(r"^    \.venv/bin/(pip install .*-.*)", GUIDES[guide], re.M)
        check_installs([shlex.split(command) for command in installs], folder)


def test_the_guide_to_kubernetes_builds_the_same_image() -> None:
    """As the file that it submits says at its top."""
    lines = (ROOT / "sweeps" / "rayjob.yaml").read_text().splitlines()
    comment = "\n".join(line.removeprefix("#").strip() for line in lines if line.startswith("#   "))
    image = re.search(r"docker build .*?docker push \S+", comment, re.S)
    assert image
    guide = "\n".join(line.strip() for line in GUIDES["kubernetes"].splitlines())
    assert image[0] in guide


def test_the_guide_quotes_what_is_said() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "rmtsim" / "sweeps").glob("*.py"))
    said = re.findall(r"^\| `([^`]*)`.* \|", GUIDES["ray-cluster"].partition("Where something is wrong")[2], re.M)
    parts = [part.strip() for text in said for part in re.split("…|: ", text) if part.strip()]
    assert len(parts) > 5
    assert [part for part in parts if part not in code] == ["Version mismatch"]  # Ray's own: tests/test_connection.py
