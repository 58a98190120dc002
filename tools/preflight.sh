#!/bin/sh
# Says what this machine lacks to build Clavero, before a build tool says it worse. `make` calls it.
#
#     tools/preflight.sh [PYTHON]     default: python3
set -u
python=${1:-python3}
status=0

lacks() {
    printf 'clavero: %s\n' "$1" >&2
    status=1
}

if ! command -v "$python" >/dev/null 2>&1; then
    lacks "there is no \`$python\`: install Python 3.11 or later, or say where it is: make PYTHON=/path/to/python3"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    lacks "\`$python\` is $("$python" --version 2>&1): Python 3.11 or later is needed (make PYTHON=/path/to/python3)"
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    lacks "\`$python\` has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)"
fi
command -v cargo >/dev/null 2>&1 ||
    lacks "there is no \`cargo\`: install Rust (the version that rust-version in Cargo.toml names, or later)"
command -v "${CC:-cc}" >/dev/null 2>&1 ||
    lacks "there is no C compiler \`${CC:-cc}\`: AWS-LC is built from source (Debian and Ubuntu: apt-get install gcc libc6-dev)"
exit $status
