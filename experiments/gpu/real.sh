#!/usr/bin/env bash
# GPU check, stage real: SmolLM2-135M-Instruct (4 bits, dequantised) tuned on real sets, several jobs at once.
#
# The learning rate is the one with the best validation NDCG@10 of three, for SFT and for MSL on office; GDRT over MSL
# takes MSL's. Then seed by seed: SFT, MSL and GDRT over MSL on office and games, beside SASRec and popularity, while
# time is left. What is done is packed into $OUT/records.tar.gz.
set -uo pipefail
source experiments/gpu/sweeps.sh

SCALE="scale=llm-gpu" SEEDS="1 2 3 4 5" RATES="${RATES:-1e-4,3e-4,1e-3}" SETS="office,games"
if [ -n "$SMALL" ]; then SCALE="$LITTLE" SEEDS="1" RATES="1e-3"; fi

# shellcheck disable=SC2086
sweep $SCALE $MODEL objective=sft,msl dataset=office seed=1 "trainer.learning_rate=$RATES" "evaluation.splits=[valid]"
sft=$(rate_of office sft valid/ndcg@10) && msl=$(rate_of office msl valid/ndcg@10) || { pack; exit 1; }
echo "{\"real\": {\"sft\": $sft, \"msl\": $msl}}" | tee -a "$OUT/rates.jsonl"
for seed in $SEEDS; do
    # shellcheck disable=SC2086
    sweep $SCALE $MODEL objective=sft "dataset=$SETS" "seed=$seed" "trainer.learning_rate=$sft" &
    # shellcheck disable=SC2086
    sweep $SCALE $MODEL objective=msl "dataset=$SETS" "seed=$seed" "trainer.learning_rate=$msl" &
    # shellcheck disable=SC2086
    sweep $SCALE $MODEL objective=gdrt objective/token_loss=msl "dataset=$SETS" "seed=$seed" "trainer.learning_rate=$msl" &
    # shellcheck disable=SC2086
    sweep $SCALE baseline=sasrec "dataset=$SETS" "seed=$seed" &
    # shellcheck disable=SC2086
    [ "$seed" = 1 ] && sweep $SCALE baseline=popularity "dataset=$SETS" seed=1 &
    wait
    pack
done
