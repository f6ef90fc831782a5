#!/usr/bin/env bash
# Ends the cluster that start.sh FOLDER has started, with its jobs. munged goes on.
set -eu
export SLURM_CONF="$1/slurm.conf"
scancel --user=root || true
for pid in "$1"/slurmd.llmrec1.pid "$1"/slurmd.llmrec2.pid "$1"/slurmctld.pid; do
    if [ -f "$pid" ]; then kill "$(cat "$pid")" || true; fi
done
# Another cluster may take their ports next.
for _ in $(seq 50); do
    pgrep --full "slurm(ctl)?d -f $1/" > /dev/null || break
    sleep 0.1
done
# Written in place: in a container it is a mount, which cannot be replaced.
hosts=$(grep -v ' # tests/slurm$' /etc/hosts)
echo "$hosts" > /etc/hosts
