#!/usr/bin/env bash
# Stops Ray on a worker whose head has stopped: `ray down` stops Ray on the head only. onprem.yaml starts this script next to Ray.
#
#   follow_head.sh ADDRESS    checks every 3 seconds whether the head's Ray answers; stops Ray here after three failures in a row
#
# A stopped head refuses connections at once: 9 seconds. With a broken network each check times out: 24. A restarted head restarts the worker.
set -u
exec 9> ~/.ray/follow_head.lock
flock --nonblock 9 || exit 0  # it is already running
misses=0
while [ $misses -lt 3 ]; do
  sleep 3
  if timeout 5 bash -c ": < /dev/tcp/$1/6379" 2> /dev/null; then misses=0; else misses=$((misses + 1)); fi
done
ray stop --force
