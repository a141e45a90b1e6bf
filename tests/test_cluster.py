"""cluster.yaml by Ray's own two validators, each of which misses what the other finds; rayjob.yaml by KubeRay types."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text()
AWS = yaml.safe_load(TEXT)
OWN_HOSTS = {
    key: value for key, value in AWS.items() if key not in ("available_node_types", "head_node_type", "max_workers")
} | yaml.safe_load("\n".join(line[3:] for line in TEXT.splitlines() if line.startswith("#|")))
JOB = yaml.safe_load((ROOT / "sweeps" / "rayjob.yaml").read_text())

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


def ray_version() -> str:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return next(line for line in lines if line.startswith("ray==")).split()[0].removeprefix("ray==")


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


def test_ray_start_has_these_options() -> None:
    def parsed(command: str) -> bool:
        settings, start, options = command.partition("ray start ")
        assert re.fullmatch(r"([A-Z_]+=\w+ )*", settings)
        assert start
        line = [sys.executable, "-c", PARSE, *shlex.split(options)]
        return subprocess.run(line, check=False, capture_output=True).returncode == 0

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
    assert locked[-2:] == ["-r", f"{folder}/requirements-cluster.lock"]
    assert {"--no-deps", "--no-build-isolation"} < {*own}
    assert own[-2:] == ["--editable", folder]


def test_nothing_is_installed_without_a_hash() -> None:
    """In the image of the job, either; and the lock has what the extras ask for."""
    text = (ROOT / "sweeps" / "rayjob.yaml").read_text()
    image = text.partition("RUN ")[2].partition("END")[0].replace("#", "").replace("\\", "")
    check_installs([shlex.split(command) for command in image.split("&&")], "rmtsim")
    there = {
        line.split("==")[0] for line in (ROOT / "requirements-cluster.lock").read_text().splitlines() if "==" in line
    }
    assert {"cupy-cuda12x", "nvidia-cublas-cu12", "grpcio", "aiohttp", "ray", "hatchling", "pyarrow"} <= there


def test_every_node_wants_the_token_and_reports_to_no_one() -> None:
    for config in (AWS, OWN_HOSTS):
        assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
        options = config["docker"]["run_options"]
        for setting in ("AUTH_MODE=token", "USAGE_STATS_ENABLED=0", "USAGE_STATS_REPORT_URL=http://127.0.0.1:9"):
            assert f"--env RAY_{setting}" in options


def exact(**properties: Any) -> dict[str, Any]:
    """Schema of a table with these keys and none besides: the API server drops what it does not know."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


STRING, COUNT, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
STRINGS = {"type": "object", "additionalProperties": STRING}  # in rayStartParams, numbers too are strings


def some(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


POD = exact(
    spec=exact(
        serviceAccountName=STRING,
        tolerations=some(exact(key=STRING, operator={"enum": ["Exists", "Equal"]}, effect=STRING)),
        containers=some(
            exact(
                name=STRING,
                image=STRING,
                env=some(exact(name=STRING, value=STRING)),
                ports=some(exact(containerPort=COUNT, name=STRING)),
                resources=exact(requests=STRINGS, limits=STRINGS),
                volumeMounts=some(exact(name=STRING, mountPath=STRING)),
            )
            | {"required": ["name", "image"]}
        ),
        volumes=some(exact(name=STRING, configMap=exact(name=STRING))),
    )
    | {"required": ["containers"]}
)
#: What we use of RayJobSpec and RayClusterSpec, from ray-project/kuberay: docs/reference/api.md and the types in
#: ray-operator/apis/ray/v1 as of KubeRay 1.4; authOptions, new in 1.5.1, from the CRD API reference of KubeRay 1.6.2.
RAY_JOB = exact(
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=exact(name=STRING),
    spec=exact(
        entrypoint=STRING,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=exact(
            rayVersion=STRING,
            authOptions=exact(mode={"enum": ["disabled", "token"]}),
            enableInTreeAutoscaling=FLAG,
            autoscalerOptions=exact(idleTimeoutSeconds=COUNT),
            headGroupSpec=exact(rayStartParams=STRINGS, template=POD) | {"required": ["template"]},
            workerGroupSpecs=some(
                exact(
                    groupName=STRING,
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=STRINGS,
                    template=POD,
                )
                | {"required": ["groupName", "minReplicas", "maxReplicas", "template"]}
            ),
        )
        | {"required": ["headGroupSpec"]},
    ),
) | {"required": ["apiVersion", "kind", "metadata", "spec"]}


def cluster_of(job: dict[str, Any]) -> dict[str, Any]:
    return job["spec"]["rayClusterSpec"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: job["spec"].update(shutdownAfterJobFinish=True),
        lambda job: cluster_of(job)["authOptions"].update(mode="tokens"),
        lambda job: cluster_of(job)["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda job: cluster_of(job)["workerGroupSpecs"][0].pop("groupName"),
        lambda job: cluster_of(job)["workerGroupSpecs"][0]["template"]["spec"]["containers"][0].pop("image"),
    ],
    ids=["key", "mode", "number", "group", "image"],
)
def test_kuberays_schema(spoil: Callable[[dict[str, Any]], None]) -> None:
    jsonschema.validate(JOB, RAY_JOB)
    wrong = copy.deepcopy(JOB)
    spoil(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, RAY_JOB)


def test_the_job_runs_a_sweep_with_the_locked_ray() -> None:
    """Its entrypoint is a command line of ours, and workers ask for the GPUs that it needs."""
    from rmtsim.cli.parser import parser

    words = shlex.split(JOB["spec"]["entrypoint"])
    assert words[0] == "rmtsim"
    arguments = parser().parse_args(words[1:])
    assert (arguments.verb, arguments.address, arguments.backend) == ("run", "auto", "cupy")
    assert arguments.store.startswith("s3://")
    cluster = cluster_of(JOB)
    assert cluster["rayVersion"] == ray_version()
    assert f"FROM rayproject/ray:{ray_version()}-py311" in (ROOT / "sweeps" / "rayjob.yaml").read_text()
    (worker,) = cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert worker["image"] == head["image"]
    (mounted,) = head["volumeMounts"]
    assert arguments.spec.startswith(mounted["mountPath"])
