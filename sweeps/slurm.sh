#!/bin/bash
# SLURM: one sweep on the nodes of a batch job, with a worker on every core or every GPU. docs/how-to/slurm.md has more.
#
#   python3 -m venv .venv                           once, in a clone of this repository that all nodes see
#   .venv/bin/pip install --require-hashes -r requirements-cluster.lock            CuPy and Ray's parts, too
#   .venv/bin/pip install --no-deps --no-build-isolation --editable .
#   sbatch sweeps/slurm.sh my.toml results          start it, after you have edited the lines that say so
#   .venv/bin/rmtsim status --store results         how far it is; from anywhere
#   scancel --batch --signal=USR1 JOB               stop in good order, and queue it again
#   scancel JOB                                     stop; the same sbatch goes on
#
# The store is a folder that the first node sees, or s3://bucket/prefix. A job that comes near its end commits what it has
# and queues itself again; the next goes on where the store ends, with the same rows as if there had been one.
#
#SBATCH --job-name=rmtsim
#SBATCH --nodes=2                # EDIT: more of them end it sooner
#SBATCH --cpus-per-task=32       # EDIT: the cores of a node
##SBATCH --gpus-per-node=4       # EDIT: the GPUs of a node; with one # less they compute, and cores do not
#SBATCH --time=08:00:00          # EDIT: the longer, the fewer beginnings
#SBATCH --ntasks-per-node=1      # a task is a node of Ray's
#SBATCH --exclusive              # a second Ray on a node does not start, and one that stops ends all of yours there
#SBATCH --requeue
#SBATCH --signal=B:USR1@60       # this script, and not Ray, is told a minute or two before the end
#SBATCH --open-mode=append       # one log for all that follow
#SBATCH --output=rmtsim-%j.log   # what the sweep says; what Ray says goes to rmtsim-%j-ray.log
set -euo pipefail
shopt -s inherit_errexit

usage='sbatch sweeps/slurm.sh SPEC STORE'
export spec=${1:?$usage} store=${2:?$usage}
source .venv/bin/activate        # EDIT: where it is installed

# All who use the cluster reach the ports of a node. Ray lets nobody in without a token, which only this job has; the
# ports of its metrics, which ask for none, stay closed: for Prometheus (docs/how-to/metrics.md), where none but you reach
# them, put a # before the line with METRIC. It reports to nobody that it is used.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
export RAY_enable_metrics_collection=0 AUTOSCALER_METRIC_PORT=-1 DASHBOARD_METRIC_PORT=-1
export RAY_USAGE_STATS_ENABLED=0 RAY_USAGE_STATS_REPORT_URL=http://127.0.0.1:9

export RAY_TMPDIR=/tmp/rmtsim-$SLURM_JOB_ID                 # on each node, and private: /tmp/ray may be another user's
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600           # seconds; many nodes that load Python at once take their time
export RAY_health_check_timeout_ms=2000                     # a node that vanishes is missed after 24 s, not 65
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1   # a worker has one core

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)   # where this script runs
export address=$head:6379
notes=$(mktemp -d)                                          # the number of the sweep's process, and its exit code
export notes
trap 'rm -rf "$notes"' EXIT

node() {    # on every node: Ray starts; on the first one, the sweep runs
    set -e
    rm -rf "$RAY_TMPDIR"
    mkdir -m 700 "$RAY_TMPDIR"
    trap 'rm -rf "$RAY_TMPDIR"' EXIT
    [ "$SLURM_NODEID" != 0 ] || set -- --include-dashboard=false   # an option of the first node alone
    ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
        --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats "$@" \
        -- bash -c sweep
}
sweep() {
    rmtsim run "$spec" --store "$store" --address auto --time-limit slurm >> "rmtsim-$SLURM_JOB_ID.log" 2>&1 &
    echo $! > "$notes/process"
    local code=0
    wait $! || code=$?
    echo "$code" > "$notes/code"
    scancel --signal=TERM "$SLURM_JOB_ID.$SLURM_STEP_ID"    # Ray, on all nodes: by itself it takes half a minute, or two
}
export -f node sweep

cancelled=
tell() { [ ! -f "$notes/process" ] || kill -TERM "$(cat "$notes/process")" || true; }
trap tell USR1                                     # the sweep alone is to stop, while Ray goes on until it has
trap 'cancelled=yes' TERM                          # by scancel, or at the very end: it is not queued again
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    --output="rmtsim-$SLURM_JOB_ID-ray.log" --open-mode=append bash -c node 2>> "rmtsim-$SLURM_JOB_ID-ray.log" &
while kill -0 $! 2>/dev/null; do
    wait $! || true                                # a signal ends this wait, and not the step
done

if [ ! -f "$notes/code" ] && [ -z "$cancelled" ]; then
    echo "the sweep did not begin: see rmtsim-$SLURM_JOB_ID-ray.log"
fi
code=$(cat "$notes/code" 2>/dev/null || echo 1)    # not srun's: of Ray's end, which is 0 where it did not start

# 3: the same command goes on. Restarts have an end, in case that the sweep gets nowhere.
if [ "$code" = 3 ] && [ -z "$cancelled" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
