# What the stages that train share: sweeps for as long as there is time. Sourced, not run.

# Jobs share the GPU by time slices: four at once take as long as one after another (experiments/results/gpu_h200).
# Two overlap the start of one with the training of the other.
JOBS="${JOBS:-2}"
# LoRA on more modules doubles the launches, which bound a model of this size.
MODEL="backbone=smollm2-135m-instruct-q4_1 adapter.rank=16 adapter.alpha=32 adapter.dropout=0"
COMMON="dataset.source=real logger=csv trainer.progress=false dataset.reference=null launcher=local launcher.jobs=$JOBS"
# The dry run: a few rows.
LITTLE="scale=debug backbone.max_length=1024 dataset.train_samples=16 trainer.epochs=1 validation.users=4 evaluation.users=4"

# Runs a sweep until $DEADLINE, which check.sh sets; what is not finished by then does not count.
sweep() {
    local left=$((DEADLINE - $(date +%s)))
    [ "$left" -gt 20 ] || { echo "no time left for: $*"; return; }
    # shellcheck disable=SC2086
    timeout --signal INT --kill-after 10 "$left" "$PYTHON" -m llmrec.run -m $COMMON "$@" || echo "not finished: $*"
}

# Prints the learning rate with the best validation figure of an objective's runs on a set.
rate_of() {
    "$PYTHON" experiments/gpu/choose_rate.py "$LLMREC_RUNS/$1" "$2" "$3"
}

pack() {
    "$PYTHON" -m llmrec.report pack="$LLMREC_RUNS" out="$OUT/records.tar.gz"
}
