# shellcheck shell=bash
# Sourced by ./run and ./test: makes .venv as constraints.txt and pyproject.toml ask, once.
# Written for bash 3.2 (macOS) and later. What is said here goes to standard error, so that a
# command's standard output stays its own.

set -euo pipefail

root=$(CDPATH="" cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/set-up-done   # what the finished set-up was made from
begun=$venv/set-up-begun  # there while a set-up is under way, and after one that was cut off

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# is_set_up EXTRAS: whether .venv has the package with these extras (dev holds them all), as the files
# ask now. Every start asks this, hence without starting Python.
is_set_up() {
    local files place interpreter extra
    [[ -x $venv/bin/impasto && -r $stamp ]] || return
    { read -r files && read -r place && read -r interpreter && read -r extra; } <"$stamp" || return
    [[ $files == "$(fingerprint)" && $place == "$root" ]] || return
    [[ $venv/bin/python -ef $interpreter && ($extra == dev || $extra == "$1") ]]
}

fingerprint() { cat -- "$root/constraints.txt" "$root/pyproject.toml" | cksum; }

# set_up EXTRAS: puts the package with these extras into .venv.
set_up() {
    trap 'say "interrupted; the next start does the set-up again"; exit 130' INT
    find_python
    take_turn
    if ! is_set_up "$1"; then  # another start may just have done it
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

# Of two starts at once, one sets up and the other waits. The lock is on an open file: the system
# drops it however its holders end, and an orphaned pip is one of them. Python takes it, since
# macOS has no command that does.
take_turn() {
    exec 9<>"$root/constraints.txt"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
    say 'waiting for another set-up here to end'
    "$python" -c 'import fcntl, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.flock(9, fcntl.LOCK_EX)'
}

# Keeps a .venv that works. The mark stays while all else is removed, or else a removal that is
# itself cut off would leave a .venv that only looks whole.
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

# Not cut off, not moved from another folder (its scripts name their Python by path), and able to
# install: a .venv whose Python the system has replaced no longer finds its pip.
is_whole() {
    [[ ! -e $begun && -x $venv/bin/python ]] || return
    [[ ! -e $stamp || $(sed -n 2p "$stamp") == "$root" ]] || return
    "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

# In one resolve, or else pip may swap the locked torch for a larger build; and from within the
# folder, since pip would read brackets in a path as extras.
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
