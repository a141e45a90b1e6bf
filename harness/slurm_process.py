"""Machines with a real SLURM, in namespaces of this one; run as a script by `harness.slurm`, as root.

It must be the first process of new process, mount, network and host name namespaces. It starts a controller, and nodes
that have all of these of their own: processes, an empty /tmp, an address and a name. All ends when its stdin does.
Jobs of the partition ``urgent`` take the nodes of others, which get the signal they asked for and 90 s to make room.

A line on stdin is an order, one on stdout answers, both in JSON: {"line": ["squeue"], "node": 0, "user": true} runs a
command on a node (0: where the controller is), as a user without rights or as root; the answer is [code, out, err].
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

#: The network of the machines; its last address is the controller's.
NETWORK = "10.99.0"

#: Who submits jobs.
USER = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

#: Of the daemons and of what is run: nothing of the test's own environment, but for the kernel of BLAS, which the last
#: bits of rows depend on.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"} | {
    name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")
}

CONFIG = """
ClusterName=test
SlurmctldHost=login({network}.254)
AuthType=auth/none
CryptoType=crypto/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
OverTimeLimit=10
MpiDefault=none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=n[1-{nodes}] CPUs=1 RealMemory=2000 State=UNKNOWN
PartitionName=p Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=90
PartitionName=urgent Nodes=n[1-{nodes}] MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""

NODE = """
set -e
hostname n{number}
mount --make-rprivate /
{masks}
slurmd -D -N n{number} &
wait
"""


def main(folder: Path, nodes: int, kept: list[str]) -> None:
    """Set the machines up, say so, and obey."""
    for line in masks({"/tmp", *filter(None, map(closed_folder, kept))}, kept):
        run(*line)
    run("hostname", "login")
    names = {f"n{number}": f"{NETWORK}.{number}" for number in range(1, nodes + 1)}
    known = {"localhost": "127.0.0.1", "login": f"{NETWORK}.254"} | names
    (folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in known.items()))
    run("mount", "--bind", folder / "hosts", "/etc/hosts")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "bridge", "type", "bridge")
    run("ip", "addr", "add", f"{NETWORK}.254/24", "dev", "bridge")
    run("ip", "link", "set", "bridge", "up")
    (folder / "slurm.conf").write_text(CONFIG.format(network=NETWORK, folder=folder, nodes=nodes))
    os.environ.clear()
    os.environ.update(ENVIRONMENT, SLURM_CONF=str(folder / "slurm.conf"), HOME=str(folder / "home"))
    (folder / "state").mkdir()
    machines = [start("slurmctld", "-D")]
    for number, (name, address) in enumerate(names.items(), 1):
        (folder / "spool" / name).mkdir(parents=True)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"to-{name}", "master", "bridge", "up")
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        script = NODE.format(number=number, masks="\n".join(map(" ".join, masks({"/tmp"}, kept))))
        apart = ["unshare", "--pid", "--fork", "--mount-proc", "--mount", "--uts", "--kill-child"]
        machines.append(start("nsenter", f"--net=/run/netns/{name}", *apart, "bash", "-c", script))
    print(json.dumps("started"), flush=True)
    for text in sys.stdin:
        order = json.loads(text)
        node = order["node"]
        line = [*(inside(machines[node].pid) if node else []), *(USER if order["user"] else []), *order["line"]]
        done = subprocess.run(
            line, cwd=folder / "home", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)


def run(*line: object) -> None:
    subprocess.run([str(word) for word in line], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def start(*line: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def masks(places: set[str], kept: list[str]) -> list[list[str]]:
    """Return the commands that empty folders, but for what is kept of them under its old name."""
    places = {place for place in places if not any(place.startswith(f"{other}/") for other in places)}
    hidden = [path for path in kept if any(path.startswith(f"{place}/") for place in places)]
    lines = [["mount", "-t", "tmpfs", "tmpfs", "/mnt"]]
    for number, path in enumerate(hidden):
        lines += [["mkdir", f"/mnt/{number}"], ["mount", "--bind", path, f"/mnt/{number}"]]
    lines += [["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", place] for place in sorted(places)]
    for number, path in enumerate(hidden):
        lines += [["mkdir", "-p", path], ["mount", "--bind", f"/mnt/{number}", path]]
    return lines


def closed_folder(path: str) -> str | None:
    """Return the topmost folder on the way to a path that others may not enter."""
    above = reversed(Path(path).parents)
    return next((str(folder) for folder in above if not folder.stat().st_mode & 0o001), None)


def inside(outer: int) -> list[str]:
    """Return how a command on a node begins, given the process that started the node's first one."""
    first = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]
    return ["nsenter", f"--target={first}", "--all", f"--wdns={os.environ['HOME']}"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
