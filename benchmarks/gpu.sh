#!/bin/bash
# All measurements and tests that need a GPU, in one dated file; less than 8 minutes on one GPU.
#
#     bash benchmarks/gpu.sh [FOLDER OF VIDEOS]
#
# DEVICE=cpu runs the same on a processor with tiny networks, to see that the script itself works.
set -u
cd "$(dirname "$0")/.."
DEVICE=${DEVICE:-cuda}
PYTHON=${PYTHON:-.venv/bin/python}
RUN="timeout 100 $PYTHON -m internvideo"
if [ "$DEVICE" = cuda ]; then
    NAME=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1 | tr -cs 'A-Za-z0-9' '-' | sed 's/-$//')
    [ -n "$NAME" ] || { echo "no GPU: nvidia-smi tells of none" >&2; exit 2; }
    STEPS="mae_base_k400:64 mae_huge_hybrid:16 multimodal_base:32 recognition_uniformer_base_k400:16"
else
    NAME=cpu
    STEPS="mae_tiny_videos:2"
fi
OUT=${OUT:-benchmarks/gpu-$(date +%F)-$NAME.md}
section() {  # section TITLE COMMAND...: the command, its output, and how long it took
    local title=$1 begin=$SECONDS
    shift
    { echo; echo "## $title"; echo; echo "    ${*/#timeout*/}"; echo; } >> "$OUT"
    "$@" 2>&1 | tail -30 | sed 's/^/    /' >> "$OUT"
    echo "    status ${PIPESTATUS[0]}, $((SECONDS - begin)) s" >> "$OUT"
}
echo "# Steps and tests on $NAME, $(date +%F)" > "$OUT"
echo >> "$OUT"
echo "Revision $(git rev-parse --short HEAD 2>/dev/null), $($PYTHON -c 'import torch; print("torch", torch.__version__)')." >> "$OUT"
for step in $STEPS; do
    recipe=${step%:*} batch=${step#*:}
    section "$recipe, $batch clips" $RUN bench step "$recipe" --batch-size "$batch" \
        --device "$DEVICE" --out "${OUT%.md}.json"
done
if [ $# -gt 0 ]; then
    section "decoding" $RUN bench decode "$1" --out "${OUT%.md}.json"
fi
if [ "$DEVICE" = cuda ]; then
    section "tests that use a GPU" timeout 120 $PYTHON -m pytest -q -m "" -k "cuda or gpu" tests
fi
echo "$OUT"
