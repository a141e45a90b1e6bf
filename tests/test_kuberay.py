"""rayjob.yaml by the types of KubeRay, and the sweep that it runs."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from tests.cluster_files import JOB, ROOT, cluster_of, ray_version


def exact(**properties: Any) -> dict[str, Any]:
    """Schema of a table with these keys and none besides: the API server drops what it does not know."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


STRING, COUNT, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
STRINGS = {"type": "object", "additionalProperties": STRING}  # in rayStartParams, numbers too are strings


def some(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


ENVIRONMENT = some(exact(name=STRING, value=STRING))
RIGHTS = exact(allowPrivilegeEscalation=FLAG, capabilities=exact(drop=some(STRING)))

POD = exact(
    spec=exact(
        serviceAccountName=STRING,
        securityContext=exact(runAsNonRoot=FLAG, runAsUser=COUNT, runAsGroup=COUNT),
        tolerations=some(exact(key=STRING, operator={"enum": ["Exists", "Equal"]}, effect=STRING)),
        containers=some(
            exact(
                name=STRING,
                image=STRING,
                securityContext=RIGHTS,
                env=ENVIRONMENT,
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
            autoscalerOptions=exact(idleTimeoutSeconds=COUNT, securityContext=RIGHTS, env=ENVIRONMENT),
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
