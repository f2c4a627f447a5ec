#!/bin/bash
# All measurements and tests that need a GPU, in one dated file; less than 8 minutes on one GPU.
#
#     bash benchmarks/gpu.sh [FOLDER OF VIDEOS]
#
# DEVICE=cpu runs the same sections on a processor, with tiny networks and benchmarks that only say
# how they are used, to see that nothing in here is broken. Ends with 1 where a section failed.
set -u
cd "$(dirname "$0")/.."
DEVICE=${DEVICE:-cuda}
PYTHON=${PYTHON:-.venv/bin/python}
LIMIT_S=470 TIMES=1
if [ "$DEVICE" = cuda ]; then
    NAME=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1 | tr -cs 'A-Za-z0-9' '-' | sed 's/-$//')
    [ -n "$NAME" ] || { echo "no GPU: nvidia-smi tells of none" >&2; exit 2; }
    STEPS="mae_base_k400:64:10 mae_huge_hybrid:16:5 multimodal_base:32:5 recognition_uniformer_base_k400:16:5"
    MASKED="--sizes base --precisions bf16 --repeats 5 --no-memory"
    MULTIMODAL="--precisions bf16 --repeats 5"
    COORDINATION="--blocks 4 --scopes clip"
    TESTS=""
else
    NAME=cpu LIMIT_S=4700 TIMES=10  # nobody waits for a processor that others use too
    STEPS="mae_tiny_videos:2:1"
    MASKED=--help MULTIMODAL=--help COORDINATION=--help
    TESTS=--collect-only
fi
OUT=${OUT:-benchmarks/gpu-$(date +%F)-$NAME.md}
FAILED=0
section() {  # section TITLE LIMIT_S COMMAND...: the command, its output, and how long it took
    local title=$1 limit=$(($2 * TIMES)) begin=$SECONDS left=$((LIMIT_S - SECONDS)) status
    shift 2
    [ "$limit" -lt "$left" ] || limit=$left
    { echo; echo "## $title"; echo; echo "    $*" | sed "s#$PYTHON#python#"; echo; } >> "$OUT"
    if [ "$limit" -lt 5 ]; then
        echo "    left out: no time is left" >> "$OUT"
        FAILED=1
        return
    fi
    timeout "$limit" "$@" 2>&1 | tail -30 | sed 's/^/    /' >> "$OUT"
    status=${PIPESTATUS[0]}
    echo "    status $status, $((SECONDS - begin)) s" >> "$OUT"
    [ "$status" = 0 ] || { FAILED=1; echo "$title: status $status, see $OUT" >&2; }
}
echo "# Steps and tests on $NAME, $(date +%F)" > "$OUT"
echo >> "$OUT"
echo "Revision $(git rev-parse --short HEAD 2>/dev/null), $($PYTHON -c 'import torch; print("torch", torch.__version__)')." >> "$OUT"
for step in $STEPS; do
    IFS=: read -r recipe batch count <<< "$step"
    section "$recipe, $batch clips" 80 "$PYTHON" -m internvideo bench step "$recipe" \
        --batch-size "$batch" --steps "$count" --device "$DEVICE" --out "${OUT%.md}.json"
done
if [ $# -gt 0 ]; then
    section "decoding" 60 "$PYTHON" -m internvideo bench decode "$1" --limit-s 5 --out "${OUT%.md}.json"
fi
section "tests that use a GPU" 90 "$PYTHON" -m pytest -q -p no:cacheprovider -m gpu $TESTS tests/properties
# Each is given as words, so these stay unquoted.
section "masked pretraining beside its peer" 90 "$PYTHON" benchmarks/masked_pretraining_step.py $MASKED
section "encoder B beside its peer" 90 "$PYTHON" benchmarks/multimodal_encoder.py $MULTIMODAL
section "coordination" 60 "$PYTHON" benchmarks/coordination_step.py $COORDINATION
echo "$OUT"
exit $FAILED
