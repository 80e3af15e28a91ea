#!/usr/bin/env bash
# A run on a SLURM cluster, on one node or many. From a folder on shared storage, with the project's environment active:
#
#   sbatch clusters/slurm.sh --grid full --data DATA/kits23 --cache DATA/cache --out RUN
#
# What follows the script is given to `python -m bench.run`; %a there is the index in a job array. Flags of sbatch before the script replace
# the lines below: --nodes=2-4 --gres=gpu:4 --cpus-per-task=32 --mem=240G --partition=NAME --account=NAME.
#
# Two minutes before the time limit SLURM signals this script alone: a signal to all would end Ray before the trials have saved their state.
# The run stops with its trials saved, the job is queued again and then goes on. `scancel --batch --signal=USR1 JOB` does the same at any time,
# with TERM it is not queued again. A node that fails leaves the job, and the others train its trials.
#SBATCH --job-name=segbench
#SBATCH --output=segbench-%j.log
#SBATCH --nodes=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --mem=60G
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --open-mode=append
set -uo pipefail
at_limit='' ray='' driver='' code=1
trap 'at_limit=yes; stop' USR1
trap stop TERM

# Asks the driver to stop. It has 90 seconds for its trials and its report; what it has not written then the next start writes.
stop() {
  [ -n "$driver" ] || return
  kill "$driver" 2> /dev/null
  { ends_within 90 "$driver" || kill -KILL "$driver"; } &
}

ends_within() { timeout --signal=KILL "$1" tail --pid="$2" -f /dev/null; }

# Ray's files on each node: a folder of this job alone, with a short path for Unix sockets, in which other users see nothing.
export RAY_FOLDER=/tmp/segbench-job-$SLURM_JOB_ID
# Ray requires a token, a new one each time. It is in the environment of the job's processes and in no file.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
# SLURM limits the memory of a job; Ray would look at that of the node, which other jobs use. At the end no trial is left to wait for.
export RAY_memory_monitor_refresh_ms=0 RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0

# run_ray FLAG...: Ray on this node, with what SLURM gave the job here and ports that are free, until it is stopped.
run_ray() {
  exec ray start --block --num-cpus="$SLURM_CPUS_ON_NODE" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --object-store-memory=500000000 \
    --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0 --disable-usage-stats "$@" > "$RAY_FOLDER/start.log" 2>&1
}

why_ray_ended() { echo "Ray on $(hostname) ended: $(tail --lines=1 "$RAY_FOLDER/start.log")" >&2; }

make_folder() { rm -rf "$RAY_FOLDER" && mkdir -m 700 "$RAY_FOLDER"; }

# Whether Ray on the head answers: three calls, since it may be busy.
head_answers() {
  for _ in 1 2 3; do
    timeout 5 bash -c ": < /dev/tcp/${RAY_HEAD%:*}/${RAY_HEAD#*:}" 2> /dev/null && return
    sleep 3
  done
  return 1
}

# A worker, in a step of its own, until it is stopped. Where its Ray ends although the head answers it starts again. Where the head is gone and
# nobody stops this step for two minutes, the head's node has failed: the job is queued again.
work() {
  stopped=''
  trap 'stopped=yes; kill $! 2> /dev/null' TERM
  make_folder || exit
  while [ -z "$stopped" ] && head_answers; do
    run_ray --address="$RAY_HEAD" &
    wait $!
    [ -n "$stopped" ] || why_ray_ended
  done
  wait
  rm -rf "$RAY_FOLDER"
  [ -n "$stopped" ] || { sleep 120 & wait $!; }
  [ -n "$stopped" ] || scontrol requeue "$SLURM_JOB_ID"
}
export -f run_ray why_ray_ended make_folder head_answers work

# ---- The head, on the job's first node -------------------------------------------------------------------------------------
# Ends Ray on every node. Of a node that has failed nothing is awaited for more than 20 seconds.
finish() {
  scancel --signal=TERM "$SLURM_JOB_ID" 2> /dev/null  # the steps, without this script
  kill $ray 2> /dev/null
  for _ in {1..20}; do [ -n "$(jobs -rp)" ] || break; sleep 1; done
  rm -rf "$RAY_FOLDER"
}
trap finish EXIT
make_folder || exit
# SLURM's address of this node, in the network of the others: a name of this node may stand for 127.0.1.1 on the node itself.
name=$(scontrol show node "$SLURMD_NODENAME" | grep -oP 'NodeAddr=\K\S+')
address=$(getent ahostsv4 "$name" | awk '$1 !~ /^127\./ {print $1; exit}')
address=${address:-$(hostname --all-ip-addresses | cut -d' ' -f1)}
# Free ports, one for Ray's client server too, which it starts where grpcio is installed and which has no flag against it.
read -r port client < <(python -c '
import importlib.util, socket
port, client = (server.getsockname()[1] for server in [socket.create_server(("", 0)) for _ in range(2)])
print(port, f"--ray-client-server-port={client}" if importlib.util.find_spec("grpc") else "")')
export RAY_HEAD=$address:$port
for _ in 1 2 3; do  # `ray start` gives up after 30 seconds on a busy machine
  run_ray --head --node-ip-address="$address" --port="$port" --temp-dir="$RAY_FOLDER/ray" --include-dashboard=false ${client:+"$client"} &
  ray=$!
  # Ray writes this file once it runs.
  until [ -e "$RAY_FOLDER/ray/ray_current_cluster" ] || ! kill -0 $ray 2> /dev/null; do sleep 0.5; done
  [ ! -e "$RAY_FOLDER/ray/ray_current_cluster" ] || break
done
kill -0 $ray 2> /dev/null || { why_ray_ended; exit 1; }
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
  [ "$node" = "$SLURMD_NODENAME" ] ||
    srun --nodes=1 --ntasks=1 --nodelist="$node" --cpu-bind=none --no-kill --input=none bash -c work &
done

# ---- The run ---------------------------------------------------------------------------------------------------------------
python -m bench.run --address "$RAY_HEAD" "${@//%a/${SLURM_ARRAY_TASK_ID:-}}" &
driver=$!
[ -z "$at_limit" ] || stop
# Without Ray, which `scancel` ends together with all else, the driver can save nothing and may hang.
{ trap '' TERM; tail --pid=$ray -f /dev/null; ends_within 10 $driver || kill -KILL $driver; } &
# A signal to this script ends a `wait` before the driver has ended.
while kill -0 $driver 2> /dev/null; do wait $driver; code=$?; done
if [ -n "$at_limit" ] && [ $code -ge 128 ]; then
  finish
  trap - TERM EXIT  # SLURM ends this script, which is not to wait for anything
  if scontrol requeue "$SLURM_JOB_ID"; then sleep 60; exit; fi
  echo "job $SLURM_JOB_ID could not be queued again; to continue, give the same sbatch command" >&2
fi
exit $code
