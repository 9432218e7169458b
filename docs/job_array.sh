#!/usr/bin/env bash
# A job array over one store, from the plan to the clips that failed. Here all tasks run on this machine:
#
#   docs/job_array.sh MANIFEST VIDEOS STORE TASKS [options of valor harvest]
#
# ALLOWED=5% clips may fail, of all, and TASK_ALLOWED of each task, where that is not the same: counts are not.
#
# On a cluster the loop is the array, and the rest depends on it (docs/scale.md):
#
#   #SBATCH --array=1-40
#   valor harvest clips.csv --videos videos --store store --shard $SLURM_ARRAY_TASK_ID/40 --allow-failures 5% ...
#   valor labels store --out labels --allow-failures 5%     # the next job, --dependency=afterok
set -euo pipefail
manifest=$1 videos=$2 store=$3 tasks=$4
while [[ $store == ?*/ ]]; do store=${store%/}; done  # the logs lie beside it: store.1.log
shift 4
valor=${VALOR:-valor}
allowed=${ALLOWED:-5%} task_allowed=${TASK_ALLOWED:-${ALLOWED:-5%}}
harvest() { $valor harvest "$manifest" --videos "$videos" --store "$store" --allow-failures "$@"; }

# Before anything is queued: wrong inputs end here with 2, more missing files than are allowed with 3.
harvest "$allowed" "$@" --plan

# The tasks. Each has a log of its own and all append their progress to one file.
processes=()
for task in $(seq "$tasks"); do
  harvest "$task_allowed" "$@" --shard "$task/$tasks" --quiet --log-file "$store.$task.log" --log-json "$store.jsonl" > /dev/null &
  processes+=($!)
done
code=0
for task in $(seq "$tasks"); do
  ended=0
  wait "${processes[task - 1]}" || ended=$?
  if [ "$ended" -ne 0 ]; then
    echo "task $task ended with $ended, see $store.$task.log" >&2
    code=$ended
  fi
done

# How far all of them are, at any time and from any machine that sees the store.
$valor store show "$store" --manifest "$manifest" --format json
if [ "$code" -ne 0 ]; then
  exit "$code"
fi

# What failed is read again by one process; what cannot be read this time either stays listed in failures.csv.
harvest "$allowed" "$@" --retry failed --quiet
