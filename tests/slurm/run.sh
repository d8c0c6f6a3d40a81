#!/usr/bin/env bash
# Runs config/ci.yaml for one of its networks, up to its tables, and a figure, through profiles/slurm on a Slurm
# of one machine, and locally, and compares the results: they must agree as compare.py says. Then a training
# is preempted and must go on: requeue.py.
# Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge, which it installs where
# they are missing.
#
#   tests/slurm/run.sh [PYTHON]      PYTHON has patchmosaic[slurm]; by default python3
#
# All of it lives in a temporary folder; it stops the daemons that it started, and no others. The exit
# status is 77, after a line that says why, where the packages cannot be had, and 78 where no node comes up.
set -euo pipefail

export PATH="$PATH:/usr/sbin:/sbin" # where Debian puts the daemons
python=$(command -v "${1:-python3}")
project=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" = 0 ] || { echo "error: the daemons need root" >&2; exit 1; }
missing=()
for program in slurmctld:slurmctld slurmd:slurmd squeue:slurm-client munged:munge; do
    command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    { apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends "${missing[@]}"; } || {
        echo "packages out of reach: ${missing[*]}" >&2
        exit 77
    }
fi

work=$(mktemp -d /tmp/patchmosaic-slurm.XXXXXX)
daemons=()
processes_of_work() { # those that run in the folder, or have it in their command line
    for process in /proc/[0-9]*; do
        [ "${process#/proc/}" = "$$" ] || [ "${process#/proc/}" = "$BASHPID" ] && continue
        if [[ "$(readlink "$process/cwd" 2>/dev/null)/" == "$work"/* ]] \
            || tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep --quiet --fixed-strings "$work"; then
            echo "${process#/proc/}"
        fi
    done
}
stop() {
    status=$?
    set +e
    if [ "${SLURM_CONF:-}" = "$work/slurm.conf" ]; then # else the jobs are another cluster's
        timeout 20 scancel --user=root 2>/dev/null
        for attempt in $(seq 60); do # jobs end through the daemons, which must still be there
            [ -z "$(timeout 20 squeue --noheader 2>/dev/null)" ] && break
            sleep 1
        done
    fi
    for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do # slurmd, slurmctld, munged
        kill "${daemons[i]}" 2>/dev/null
        wait "${daemons[i]}" 2>/dev/null
    done
    for attempt in $(seq 90); do # the last steps end after their job: late where the machine is busy
        left=$(processes_of_work)
        [ -z "$left" ] && break
        [ "$attempt" -lt 20 ] || for process in $left; do # without slurmctld these may wait long
            [ "$(cat "/proc/$process/comm" 2>/dev/null)" != slurmstepd ] || kill -KILL "$process" 2>/dev/null
        done
        sleep 1
    done
    if [ -n "$left" ]; then
        echo "error: processes are left:" >&2
        ps -o pid,ppid,etime,state,args -p "$(echo "$left" | paste -sd,)" >&2 || echo "$left" >&2
        [ $status != 0 ] || status=1
    fi
    if [ $status = 0 ]; then rm -rf "$work"; else echo "left for inspection: $work" >&2; fi
    exit $status
}
trap stop EXIT

# munge: the key and the socket are this folder's own.
mkdir -m 0755 "$work/munge" "$work/spool" "$work/state" "$work/log"
chmod 0755 "$work"
(umask 077 && head -c 1024 /dev/urandom >"$work/munge/key")
munged --foreground --force --num-threads=8 --key-file="$work/munge/key" --socket="$work/munge/socket" \
    --pid-file="$work/munge/pid" --log-file="$work/log/munged.log" \
    --seed-file="$work/munge/seed" &
daemons+=($!)

# Slurm: one node, which is this machine.
free_port() {
    "$python" -c 'import socket as s; a = s.create_server(("127.0.0.1", 0)); print(a.getsockname()[1])'
}
node=$(hostname -s)
cores=$(nproc)
cat >"$work/slurm.conf" <<CONF
ClusterName=patchmosaic
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
MinJobAge=7200
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/log/slurmctld.log
SlurmdLogFile=$work/log/slurmd.log
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cores RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$work/slurm.conf"
# The executor takes SLURM_CONF from the environment of the srun that it calls in a job.
mkdir "$work/bin"
printf '#!/bin/sh\nSLURM_CONF="%s" exec "%s" "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$work/bin/srun"
# Where the controller takes more than ten seconds to answer, the executor asks sacct instead, which
# has nothing to tell without accounting; here it is answered from the queue.
cat >"$work/bin/sacct" <<'SACCT'
#!/bin/sh
case "$*" in *JobIdRaw,State*) exec squeue --states=all --noheader --format="%i|%T" ;; esac
exit 1
SACCT
chmod +x "$work/bin/srun" "$work/bin/sacct"
export PATH="$work/bin:$PATH"
for attempt in $(seq 100); do
    [ -S "$work/munge/socket" ] && break
    sleep 0.1
done
slurmctld -D -f "$SLURM_CONF" &
daemons+=($!)
slurmd -D -f "$SLURM_CONF" -N "$node" &
daemons+=($!)
all_run() {
    for daemon in "${daemons[@]}"; do kill -0 "$daemon" 2>/dev/null || return 1; done
}
for attempt in $(seq 60); do
    [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
    all_run && [ "$attempt" -lt 60 ] || {
        cat "$work"/log/*.log >&2
        echo "Slurm does not start on this machine: no node came up" >&2
        exit 78
    }
    sleep 1
done
sinfo

# The same project twice, with the same images, and one of the two networks.
targets=(results/ci/tables/{headline,orderings,paired,paper,scales}.csv results/ci/figures/headline.png)
run() { # run NAME IMAGES ARGUMENTS: config/ci.yaml in a copy of the project of its own
    mkdir "$work/$1"
    (cd "$project" && cp -r Snakefile config.yaml config workflow scripts profiles envs checkpoints \
        patchmosaic "$work/$1/")
    mkdir "$work/$1/numbers" "$work/$1/data"
    cp "$project"/numbers/{paper,committed,protocol}.yaml "$work/$1/numbers/"
    echo 'evaluate: [fashion_mnist-unet-zeros]' >"$work/$1/one.yaml"
    if [ -d "${2%/}" ]; then cp -r "$2" "$work/$1/data/"; fi
    (cd "$work/$1" && "$python" -m snakemake "${targets[@]}" --configfile config/ci.yaml one.yaml "${@:3}")
}
run slurm "$project/data/raw" --workflow-profile profiles/slurm --max-threads "$cores" \
    --slurm-init-seconds-before-status-checks 2
echo "jobs by state:" && squeue --states=all --noheader --format=%T | sort | uniq -c
run local "$work/slurm/data/raw" --cores "$cores"

"$python" "$project/tests/slurm/compare.py" "$work/slurm/results/ci" "$work/local/results/ci"

mkdir "$work/requeue"
"$python" "$project/tests/slurm/requeue.py" "$work/requeue"
