#!/bin/sh
# Builds every fuzz target and runs each for N seconds (30 by default): tools/fuzz-smoke.sh [N]
# Stable Rust and a C++ compiler (libFuzzer is C++) are all it needs. Exits non-zero when a target crashes, hangs or does not build;
# the input that did it stays in fuzz/artifacts, what was learnt in fuzz/corpus.
set -eu
cd "$(dirname "$0")/.."
seconds="${1:-30}"
case "$seconds" in '' | *[!0-9]* | 0) echo "usage: tools/fuzz-smoke.sh [SECONDS per target, at least 1]" >&2; exit 2 ;; esac
if ! command -v "${CXX:-c++}" >/dev/null 2>&1; then
    echo "fuzz-smoke: NO FUZZING WAS DONE: libFuzzer needs a C++ compiler, and ${CXX:-c++} is not there (Debian: apt-get install g++)" >&2
    exit 1
fi
target="${CARGO_TARGET_DIR:-target}"
RUSTC_WORKSPACE_WRAPPER="$PWD/tools/sancov-rustc.sh" cargo build --release -p clavero-fuzz --bins
failed=0
for name in blob key-token encryption-context attestation sigv4 http-call public-key private-key import; do
    mkdir -p "fuzz/corpus/$name" "fuzz/artifacts/$name"
    echo "fuzz-smoke: $name for $seconds s"
    if "$target/release/fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
        -verbosity=1 -artifact_prefix="fuzz/artifacts/$name/" "fuzz/corpus/$name" >"fuzz/artifacts/$name/log" 2>&1; then
        grep -E 'stat::number_of_executed_units|cov:' "fuzz/artifacts/$name/log" | tail -2
    else
        failed=1
        echo "fuzz-smoke: $name FAILED; the end of its log:" >&2
        tail -40 "fuzz/artifacts/$name/log" >&2
    fi
done
exit "$failed"
