#!/usr/bin/env bash
# GPU check, stage real: SmolLM2-135M-Instruct (4 bits, dequantised) tuned on office and games, several jobs at once.
#
# The learning rate is the one with the best validation NDCG@10 of three, for SFT and for MSL on office; GDRT over MSL
# takes MSL's. Then seed by seed: SFT, MSL and GDRT over MSL on both sets, beside SASRec and popularity, while time is
# left. What is done is packed into $OUT/records.tar.gz.
set -uo pipefail

DEADLINE=$(($(date +%s) + ${REAL_SECONDS:-270}))
JOBS="${JOBS:-8}"
RATES="1e-4,3e-4,1e-3"
LORA="adapter.rank=16 adapter.alpha=32 adapter.dropout=0 adapter.modules=[q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj]"
SEEDS="1 2 3 4 5"
if [ -n "$SMALL" ]; then
    SCALE="scale=debug backbone.max_length=1024 dataset.train_samples=16 trainer.epochs=1 validation.users=4 evaluation.users=4" SEEDS="1" JOBS=1 RATES="1e-3"
else
    SCALE="scale=llm-gpu"
fi
MODEL="backbone=hf backbone.path=$WORK/model backbone.gguf_file=SmolLM2-135M-Instruct.Q4_1.gguf backbone.name=smollm2-135m-instruct-q4_1"
COMMON="$SCALE dataset.source=real logger=csv trainer.progress=false evaluation.relevance_model=null launcher=local launcher.jobs=$JOBS"

# Runs a sweep for as long as there is time; what is not finished by then does not count.
sweep() {
    local left=$((DEADLINE - $(date +%s)))
    [ "$left" -gt 20 ] || { echo "no time left for: $*"; return; }
    # shellcheck disable=SC2086
    timeout --signal INT --kill-after 10 "$left" "$PYTHON" -m llmrec.run -m $COMMON "$@"
}

rate_of() {
    "$PYTHON" experiments/gpu/choose_rate.py "$LLMREC_RUNS/office" "$1"
}

# Dequantised once, before several jobs want it.
"$PYTHON" -c "
from pathlib import Path
from llmrec.backbones.gguf import dequantised
dequantised(Path('$WORK/model/SmolLM2-135M-Instruct.Q4_1.gguf'), Path('$LLMREC_CACHE'))"

# shellcheck disable=SC2086
sweep $MODEL $LORA objective=sft,msl dataset=office seed=1 "trainer.learning_rate=$RATES" "evaluation.splits=[valid]"
sft=$(rate_of sft) msl=$(rate_of msl)
echo "{\"learning_rate\": {\"sft\": $sft, \"msl\": $msl}}" | tee "$OUT/rates.json"
for seed in $SEEDS; do
    # shellcheck disable=SC2086
    sweep $MODEL $LORA objective=sft dataset=office,games "seed=$seed" "trainer.learning_rate=$sft"
    # shellcheck disable=SC2086
    sweep $MODEL $LORA objective=msl dataset=office,games "seed=$seed" "trainer.learning_rate=$msl"
    # shellcheck disable=SC2086
    sweep $MODEL $LORA objective=gdrt objective/token_loss=msl dataset=office,games "seed=$seed" "trainer.learning_rate=$msl"
    [ "$seed" = 1 ] && sweep baseline=popularity dataset=office,games seed=1
    sweep baseline=sasrec dataset=office,games "seed=$seed"
done
"$PYTHON" -m llmrec.report pack="$LLMREC_RUNS" out="$OUT/records.tar.gz"
