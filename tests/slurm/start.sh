#!/usr/bin/env bash
# Starts a SLURM cluster of two nodes on this machine, as root: start.sh FOLDER. See stop.sh.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
host=$(hostname)
# Ranks look up the first node by its name.
for node in llmrec1 llmrec2; do
    grep -qw "$node" /etc/hosts || echo "127.0.0.1 $node" >> /etc/hosts
done
mkdir -p "$folder/state" "$folder/log" /run/munge
chown munge /run/munge
munge -n > /dev/null 2>&1 || su -s /bin/sh munge -c 'munged --force'
cat > "$folder/slurm.conf" << CONF
ClusterName=llmrec
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16917
AuthType=auth/munge
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
# Nodes may claim more cores than this machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
# A node that does not answer is down after 10 s, and a job that does not end is killed after 5 s.
SlurmdTimeout=10
KillWait=5
SchedulerParameters=sched_interval=1,batch_sched_delay=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=llmrec1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17101 CPUs=8 State=UNKNOWN
NodeName=llmrec2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17102 CPUs=8 State=UNKNOWN
PartitionName=main Nodes=llmrec1,llmrec2 Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$folder/slurm.conf"
slurmctld -f "$SLURM_CONF"
for node in llmrec1 llmrec2; do slurmd -f "$SLURM_CONF" -N "$node"; done
for _ in $(seq 100); do
    [ "$(sinfo --noheader --Node --states=idle 2> /dev/null | wc -l)" = 2 ] && exit 0
    sleep 0.2
done
sinfo
exit 1
