"""A Ray cluster of several nodes on this machine, run as a script: a JSON list on stdin is an order, one line answers.

Orders: ["add", cpus, gpus] answers with the node's number; ["remove", number] has a node leave in good order;
["bury", number] clears away what is left of a node whose raylet was killed; ["raylets"] answers {number: pid}.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ray.cluster_utils import Cluster

from rmtsim.sweeps.ray_settings import nothing_that_watches


def main(settings: dict[str, Any]) -> None:
    cluster = Cluster(
        initialize_head=True,  # without CPUs: draws are made on nodes that can leave
        head_node_args={"num_cpus": 0, "_system_config": settings},
    )
    nodes: dict[int, Any] = {}
    answer(cluster.address)
    for number, line in enumerate(sys.stdin):
        match json.loads(line):
            case ["add", cpus, gpus]:
                nodes[number] = cluster.add_node(num_cpus=cpus, num_gpus=gpus)
                answer(number)
            case ["remove", gone]:
                cluster.remove_node(nodes.pop(gone))
                answer(gone)
            case ["bury", gone]:
                cluster.remove_node(nodes.pop(gone), allow_graceful=False)
                answer(gone)
            case ["raylets"]:
                answer({key: node.all_processes["raylet"][0].process.pid for key, node in nodes.items()})
    cluster.shutdown()


def answer(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    with nothing_that_watches():
        main(json.loads(sys.argv[1]))
