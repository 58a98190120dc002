#!/bin/sh
# A rustc that adds libFuzzer's coverage counters, for stable Rust: RUSTC_WORKSPACE_WRAPPER=tools/sancov-rustc.sh cargo build ...
# A workspace wrapper sees only this workspace's crates, so AWS-LC and the other dependencies are neither instrumented nor built again.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
