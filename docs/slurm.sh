#!/usr/bin/env bash
# A harvest as a job array of Slurm, and labels once every task has ended well; where one has not, their job is ended too
# (docs/offline.md):
#
#   docs/slurm.sh MANIFEST VIDEOS STORE LABELS TASKS [options of valor harvest]
#
# Told by the environment, where it is not as here:
#   SBATCH='--gpus=1 --cpus-per-task=16'   options of sbatch for each task, and for the job of the labels; where tasks are
#                                          preempted also --requeue: SIGTERM ends a task in order, and the next try goes on
#   LABELS_SBATCH='--cpus-per-task=4'      options of sbatch for the job of the labels, in place of these: account and partition
#                                          again, and no GPU
#   THROTTLE=8                             tasks that run at the same time; all that get a place, where it is not given
#   LOGS=logs                              folder of the logs, made here: Slurm makes none, and a task without one ends; what task 3
#                                          of job 17 says is harvest-17-3.out there, so that another try keeps it
#   ALLOWED=5%                             clips that may fail, of all (valor harvest --help)
#   TASK_ALLOWED=5%                        clips that may fail of each task, where that is not $ALLOWED: of all a count may be
#                                          as many times as large as there are tasks
#   LABEL_OPTIONS='--thresholds t.json'    options of valor labels
#   CALIBRATE='--criterion tag-rate'       options of valor calibrate, which makes thresholds of the store for the labels;
#                                          teachers without published thresholds need this, or thresholds that are there
#   VALOR=valor                            the command, such as 'apptainer exec --nv valor.sif valor'
#   HF_HUB_OFFLINE=1                       tasks ask nothing of a network; 0 lets them fetch weights
set -euo pipefail
manifest=$1 videos=$2 store=$3 labels=$4 tasks=$5
shift 5
valor=${VALOR:-valor} allowed=${ALLOWED:-5%} task_allowed=${TASK_ALLOWED:-${ALLOWED:-5%}} logs=${LOGS:-logs}
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
mkdir -p "$logs"
quoted() { printf '%q ' "$@"; }
harvest="$valor harvest $(quoted "$manifest" --videos "$videos" --store "$store" "$@")"

# Before anything is queued: wrong inputs and too little room end here with 2; weights that are not here, or more missing
# files than are allowed, with 3; labels that need thresholds nobody gives, with 2.
code=0
plan=$(eval "$harvest --allow-failures $allowed --plan") || code=$?
printf '%s' "${plan:+$plan$'\n'}"
[[ $code == 0 ]] || exit "$code"
{ eval "$harvest --allow-failures $task_allowed --shard 1/$tasks --plan" || true; } | sed -n '/^  note/p'
if [[ $plan == *$'\nlabels '* && -z ${CALIBRATE:-} && ${LABEL_OPTIONS:-} != *--thresholds* ]]; then
  echo "docs/slurm.sh: the labels of these teachers need thresholds; give CALIBRATE='--criterion tag-rate', or LABEL_OPTIONS='--thresholds FILE'" >&2
  exit 2
fi
calibrate='' made=''
if [[ -n ${CALIBRATE:-} ]]; then
  made="--thresholds $(quoted "$labels.thresholds.json")"
  calibrate="$valor calibrate $(quoted "$store" --out "$labels.thresholds.json" --manifest "$manifest") $CALIBRATE"
fi

array=$(sbatch --parsable ${SBATCH:-} --job-name=harvest --array="1-$tasks${THROTTLE:+%$THROTTLE}" --output="$logs/harvest-%A-%a.out" << END
#!/usr/bin/env bash
exec $harvest --allow-failures $task_allowed --shard \$SLURM_ARRAY_TASK_ID/$tasks --quiet \
  --log-file $(printf %q "$logs")/\$SLURM_ARRAY_TASK_ID.log --log-json $(quoted "$logs/progress.jsonl")
END
)
after=$(sbatch --parsable ${LABELS_SBATCH-${SBATCH:-}} --dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes \
  --job-name=labels --output="$logs/labels.out" << END
#!/usr/bin/env bash
set -e
$calibrate
exec $valor labels $(quoted "$store" --out "$labels" --manifest "$manifest" --allow-failures "$allowed") $made ${LABEL_OPTIONS:-}
END
)
echo "harvest is job ${array%%;*}, labels are job ${after%%;*}; logs in $logs"
