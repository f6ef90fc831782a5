#!/usr/bin/env bash
# GPU check, stage curve: how much tuning does a pretrained model take? MovieLens-100K, next item, real.
#
# SFT and MSL on 2,000 rows for 3 epochs in steps of 16 rows: the learning rate is the one with the best validation loss
# of three; validation (200 users) after each epoch, test (500 rows) once. Beside the untuned model, tiny, SASRec and
# popularity, and the same with all of 10,000 rows for 5 epochs in steps of 64.
set -uo pipefail
source experiments/gpu/sweeps.sh

SET="dataset=movielens_100k validation.users=200 evaluation.users=500"
FEW="scale=llm-gpu $SET dataset.train_samples=2000 trainer.epochs=3 trainer.batch_size=16"
MANY="scale=llm-gpu $SET dataset.train_samples=10000 trainer.epochs=5 trainer.batch_size=64"
RATES="1e-4,3e-4,1e-3"
if [ -n "$SMALL" ]; then FEW="$LITTLE dataset=movielens_100k" MANY="$LITTLE dataset=movielens_100k seed=2" RATES="1e-3"; fi

# shellcheck disable=SC2086
sweep $FEW $MODEL objective=sft,msl "trainer.learning_rate=$RATES" "evaluation.splits=[valid]" &
# shellcheck disable=SC2086
sweep $FEW $MODEL objective=sft trainer.epochs=0 &
# shellcheck disable=SC2086
sweep $FEW baseline=sasrec,popularity &
wait
sft=$(rate_of movielens_100k sft valid/loss) && msl=$(rate_of movielens_100k msl valid/loss) || { pack; exit 1; }
echo "{\"curve\": {\"sft\": $sft, \"msl\": $msl}}" | tee -a "$OUT/rates.jsonl"
# shellcheck disable=SC2086
sweep $FEW $MODEL objective=sft "trainer.learning_rate=$sft" &
# shellcheck disable=SC2086
sweep $FEW $MODEL objective=msl "trainer.learning_rate=$msl" &
# shellcheck disable=SC2086
sweep $MANY $MODEL objective=sft "trainer.learning_rate=$sft" &
# shellcheck disable=SC2086
sweep $MANY $MODEL objective=msl "trainer.learning_rate=$msl" &
# shellcheck disable=SC2086
sweep $MANY objective=sft,msl backbone=tiny &
wait
pack
