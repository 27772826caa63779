# shellcheck shell=bash
# Sourced by ./run and ./test: makes .venv once, from constraints.txt and pyproject.toml. Works with
# bash 3.2 (macOS) and later. Messages go to standard error, so that they do not mix with the output
# of the command.

set -euo pipefail

root=$(CDPATH="" cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/set-up-done   # records the inputs of the finished set-up
begun=$venv/set-up-begun  # exists during a set-up, and after one that was interrupted

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# is_set_up EXTRAS: whether .venv has the package with these extras (dev includes all), for the current
# files. This runs at every start, so it does not start Python.
is_set_up() {
    local files folder interpreter extra
    [[ -x $venv/bin/impasto && -r $stamp ]] || return
    { read -r files && read -r folder && read -r interpreter && read -r extra; } <"$stamp" || return
    [[ $files == "$(fingerprint)" && $folder == "$root" ]] || return
    [[ $venv/bin/python -ef $interpreter && ($extra == dev || $extra == "$1") ]]
}

fingerprint() { cat -- "$root/constraints.txt" "$root/pyproject.toml" | cksum; }

# set_up EXTRAS: installs the package with these extras into .venv.
set_up() {
    trap 'say "interrupted; the next start does the set-up again"; exit 130' INT
    find_python
    take_lock
    if ! is_set_up "$1"; then  # another start may have done it meanwhile
        say 'setting up .venv, this once: it takes some minutes'
        prepare_venv || fail "could not make $venv (see above); the next start tries again"
        install "$1" || fail 'could not install what impasto needs (see above); the next start tries again'
    fi
    exec 9>&-
    trap - INT
}

# Sets `python` to the first command that is new enough and can make virtual environments.
find_python() {
    local version trouble=''
    for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        version=$("$python" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue
        if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
            trouble=${trouble:-"Python 3.10 or newer is needed, but $python is $version; install a newer one"}
        elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            trouble="Python's venv is needed, but $python ($version) lacks it; on Debian and Ubuntu: sudo apt install python3-venv"
        else
            return 0
        fi
    done
    fail "${trouble:-Python 3.10 or newer is needed, but no python3 runs here; install one from python.org or as a package of your system}"
}

# If two starts run at once, one sets up and the other waits. The lock is on an open file, so that
# the system releases it when all holders have ended, an orphaned pip included. Python locks it,
# because macOS has no command for that.
take_lock() {
    exec 9<>"$root/constraints.txt"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
    say 'waiting for another set-up here to end'
    "$python" -c 'import fcntl, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.flock(9, fcntl.LOCK_EX)'
}

# Keeps a .venv that works, or makes a new one. The mark $begun stays while the rest is removed:
# otherwise an interrupted removal would leave a .venv that looks complete.
prepare_venv() {
    mkdir -p -- "$venv" || return
    if is_whole; then
        : >"$begun" && rm -f -- "$stamp"
    else
        : >"$begun" &&
            find "$venv/" -mindepth 1 -maxdepth 1 ! -name "${begun##*/}" -exec rm -rf -- {} + &&
            "$python" -m venv "$venv" >&2
    fi
}

# A .venv is whole if its set-up was not interrupted, it was not moved (its scripts contain the path
# of their Python), and it can install: if the system has replaced its Python, it finds no pip.
is_whole() {
    [[ ! -e $begun && -x $venv/bin/python ]] || return
    [[ ! -e $stamp || $(sed -n 2p "$stamp") == "$root" ]] || return
    "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# All packages in one pip call, because otherwise pip may replace the locked torch by a larger build.
# In the folder itself, because pip would read brackets in a path as extras.
install() {
    local files
    files=$(fingerprint)
    (cd -- "$root" && "$venv/bin/python" -m pip install -qq --disable-pip-version-check \
        --constraint constraints.txt --editable ".[$1]" >&2) || return
    {
        printf '%s\n%s\n' "$files" "$root"
        "$venv/bin/python" -c 'import os, sys; print(os.path.realpath(sys.executable))'
        printf '%s\n' "$1"
    } >"$begun" && mv -- "$begun" "$stamp"
}
