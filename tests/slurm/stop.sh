#!/usr/bin/env bash
# Ends the cluster that start.sh FOLDER has started; munged stays.
set -eu
export SLURM_CONF="$1/slurm.conf"
scancel --user=root || true
for pid in "$1"/slurmd.llmrec1.pid "$1"/slurmd.llmrec2.pid "$1"/slurmctld.pid; do
    if [ -f "$pid" ]; then kill "$(cat "$pid")" || true; fi
done
