#!/usr/bin/env bash
# GPU check, stage real: SmolLM2-135M-Instruct (4 bits, dequantized) tuned on real sets.
#
# Seed by seed: SFT and MSL on each set, then GDRT over MSL and, once, the untuned model, at the learning rate of
# scale=llm-gpu, while time is left. What is done is packed into $OUT/records.tar.gz. The baselines need no GPU: run them
# elsewhere with baseline=sasrec,popularity and the same scale.
set -uo pipefail
source experiments/gpu/sweeps.sh

SCALE="scale=llm-gpu" SEEDS="1 2 3 4 5" SETS="office games"
if [ -n "$SMALL" ]; then SCALE="$LITTLE" SEEDS="1"; fi

for seed in $SEEDS; do
    for set in $SETS; do
        # shellcheck disable=SC2086
        sweep $SCALE $MODEL objective=msl,sft "dataset=$set" "seed=$seed"
        pack
    done
    for set in $SETS; do
        # shellcheck disable=SC2086
        sweep $SCALE $MODEL objective=gdrt objective/token_loss=msl "dataset=$set" "seed=$seed"
        # shellcheck disable=SC2086
        [ "$seed" != 1 ] || sweep $SCALE $MODEL objective=sft trainer.epochs=0 "dataset=$set"
        pack
    done
done
