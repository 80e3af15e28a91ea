#!/usr/bin/env bash
# Ends Ray on a worker whose head is gone: `ray down` stops Ray on the head alone. onprem.yaml starts it beside Ray.
#
#   follow_head.sh ADDRESS    asks every 3 seconds whether the head's Ray still answers; after three misses in a row it stops Ray here
#
# A head that ended refuses at once: 9 seconds. A cut network says nothing: 24. The head starts the worker again once it is back.
set -u
exec 9> ~/.ray/follow_head.lock
flock --nonblock 9 || exit 0  # one is enough
misses=0
while [ $misses -lt 3 ]; do
  sleep 3
  if timeout 5 bash -c ": < /dev/tcp/$1/6379" 2> /dev/null; then misses=0; else misses=$((misses + 1)); fi
done
ray stop --force
