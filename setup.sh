#!/usr/bin/env bash
# Makes the control environment .venv from hash-pinned requirements, then runs vllm-ready with all
# arguments. Needs bash, coreutils and one of uv, Python with venv, curl or wget. Prints to stderr.
if [ -z "${BASH_VERSION:-}" ]; then # started as `sh setup.sh`
    command -v bash >/dev/null || { echo "error: setup.sh needs bash, which is not installed" >&2; exit 3; }
    exec bash "$0" "$@"
fi
set +o posix
set -euo pipefail
trap 'exit 130' INT

readonly LAYOUT=2 # increase it if the same pins must lead to a different environment

say() { printf 'setup: %s\n' "$*" >&2; }

fail() { # fail EXIT_CODE WHAT HINT
    printf 'error: %s\n hint: %s\n' "$2" "$3" >&2
    exit "$1"
}

attempt() { # attempt WHAT COMMAND...: run a command quietly, explain its failure
    local output
    output=$("${@:2}" 2>&1 </dev/null) || explain "$1" "$output"
}

find_checkout() { # set here to the folder of this script, also if it was called through a link
    local script=${BASH_SOURCE[0]}
    if [[ -L $script ]]; then script=$(readlink -f -- "$script"); fi
    [[ $script == */* ]] || script=./$script
    here=$(CDPATH='' cd -P -- "${script%/*}" && printf %s "$PWD")
    prefix=${VLLM_READY_PREFIX:-$here/envs}
}

keep_out_of_a_missing_home() { # in a container, a user id often has no home, or only "/"
    if [[ -z ${HOME:-} || $HOME == / || ! -d $HOME ]]; then
        export HOME=$prefix/home
    elif [[ -w $HOME ]]; then
        return 0
    fi
    export UV_CACHE_DIR="${UV_CACHE_DIR:-$prefix/cache/uv}" PIP_CACHE_DIR="${PIP_CACHE_DIR:-$prefix/cache/pip}"
}

# ready FOLDER REQUIREMENTS: succeed if it was made here, from these pins, with the same Python, and
# has lost no package. It starts no process, because it runs before every verb.
ready() {
    local where='' base='' pins='' wanted='' package
    [[ -r $1/.ready && -x $1/bin/vllm-ready ]] || return 1
    {
        IFS= read -rd '' where && IFS= read -rd '' base && IFS= read -rd '' pins || return 1
        IFS= read -rd '' wanted <"$2" || true
        [[ $where == "$LAYOUT $here" && $1/bin/python -ef $base && $pins == "$wanted" ]] || return 1
        while IFS= read -rd '' package; do [[ -e $1/$package ]] || return 1; done
    } <"$1/.ready"
}

take_lock() { # take a kernel lock; without flock(1), a link that names its owner
    local lock=$here/.venv.lock owner
    [[ -w $here ]] || refuse_unwritable
    attempt "making $lock" mkdir -p -- "$lock"
    [[ -w $lock && (! -e $lock/lock || -w $lock/lock) ]] || refuse_foreign "$lock"
    if command -v flock >/dev/null; then
        exec 9>>"$lock/lock"
        flock -n 9 && return 0
        say "another setup.sh is running here; waiting for it"
        flock 9 || say "this file system does not support locks: start only one setup.sh at a time"
        return 0
    fi
    until ln -s "$$" "$lock/owner" 2>/dev/null; do
        owner=$(readlink -- "$lock/owner") || continue
        if [[ -d /proc/$owner ]]; then sleep 0.2; else rm -f -- "$lock/owner"; fi
    done
}

release_lock() { # the kernel releases its own lock when this subshell ends
    command -v flock >/dev/null || rm -f -- "$here/.venv.lock/owner"
}

install_with_uv() { # install_with_uv FOLDER REQUIREMENTS
    hand_on_pip_settings
    export UV_LINK_MODE=copy # with hard links, an edit would change uv's cache
    export UV_PYTHON_INSTALL_DIR="${UV_PYTHON_INSTALL_DIR:-$prefix/pythons}" UV_PYTHON_INSTALL_BIN=0
    unset UV_CONSTRAINT UV_OVERRIDE UV_EXCLUDE UV_PYTHON UV_SYSTEM_PYTHON UV_BREAK_SYSTEM_PACKAGES UV_NO_BINARY
    cd -- "$here" # a project in the caller's folder must not configure uv
    say "making $1 with uv"
    network_hint="a Python for uv comes from github.com; without it: $(package_command)" \
        attempt "making $1" "$uv" venv --clear --no-project --python '>=3.10,<3.15' "$1"
    say "installing the pinned packages, about 100 MB: this may take a minute"
    # Without --target, the one in the user's uv.toml would win. It takes the scripts along.
    attempt "installing the pinned packages" "$uv" pip install --python "$1/bin/python" \
        --target "$(cd -- "$1"/lib/python3.*/site-packages && printf %s "$PWD")" --no-deps --require-hashes --only-binary :all: ${UV_NO_INDEX:+--no-index} -r "$2"
    attempt "finishing $1" move_scripts "$1"
}

move_scripts() { # move_scripts FOLDER: from where --target puts them to where an environment has them
    local script
    for script in "$1"/lib/python3.*/site-packages/bin/*; do
        if [[ -e $script ]]; then mv -- "$script" "$1/bin/" || return; fi
    done
}

install_with_pip() { # install_with_pip FOLDER REQUIREMENTS
    say "making $1 with $python"
    attempt "making $1" "$python" -I -m venv "$1"
    say "installing the pinned packages, about 100 MB: this may take a minute"
    PIP_RETRIES="${PIP_RETRIES:-2}" attempt "installing the pinned packages" "$1/bin/python" -I -m pip \
        --disable-pip-version-check --no-input install --no-user --no-deps \
        --require-hashes --only-binary :all: -r "$2"
}

open_to_the_checkout() { # open_to_the_checkout FOLDER: use the checkout, install nothing
    local site quoted=${1//\'/\'\\\'\'}
    for site in "$1"/lib/python3.*/site-packages; do
        echo ../../../.. >"$site/vllm-ready.pth" || return # relative, so ASCII in every locale
    done
    echo '*' >"$1/.gitignore" || return
    # -I: PYTHONPATH and the user's site-packages must not reach the control environment.
    printf '#!/bin/sh\nexec '\''%s/bin/python'\'' -I -c '\''%s'\'' "$@"\n' "$quoted" \
        'from provision.cli import main; raise SystemExit(main())' >"$1/bin/vllm-ready" &&
        chmod +x "$1/bin/vllm-ready"
}

fits_its_python() { # fits_its_python FOLDER: uv.toml may ask for files of another Python or system
    "$1/bin/python" -I -c '
import pathlib, sys
from importlib.machinery import EXTENSION_SUFFIXES
for path in pathlib.Path(sys.argv[1]).glob("lib/python3.*/site-packages/**/*"):
    suffix = path.name[len(path.name.partition(".")[0]):]
    if suffix.endswith((".so", ".pyd")) and ".libs" not in str(path) and suffix not in EXTENSION_SUFFIXES:
        sys.exit(f"{path.name} is for another Python or system; look at [pip] in uv.toml")
' "$1"
}

stamp() { # stamp FOLDER PINS: mark a finished environment; this file is written last
    local packages=("$1"/lib/python3.*/site-packages/[!_]*)
    printf '%s\0' "$LAYOUT $here" "$(readlink -f -- "$1/bin/python")" "$2" "${packages[@]#"$1/"}" >"$1/.ready.new" &&
        mv -- "$1/.ready.new" "$1/.ready"
}

make_environment() { # make_environment FOLDER REQUIREMENTS: in place, scripts contain the path
    local pins uv python
    if [[ -e $1 && ! -w $1 ]]; then refuse_foreign "$1"; fi
    attempt "removing the old $1" rm -rf -- "$1"
    attempt "making $1" mkdir -- "$1"
    refuse_noexec "$1"
    choose_tool
    IFS= read -rd '' pins <"$2" || true # first: a later change is not installed
    if [[ $uv ]]; then install_with_uv "$1" "$2"; else install_with_pip "$1" "$2"; fi
    attempt "trying $1" fits_its_python "$1"
    attempt "finishing $1" open_to_the_checkout "$1"
    attempt "finishing $1" stamp "$1" "$pins"
    say "$1 is ready"
}

take_wheels_from() { # take_wheels_from BUNDLE: install without a network
    [[ -d $1/control ]] || fail 2 "$1 is not a bundle" "name a folder that ./setup.sh bundle wrote"
    local folder letter
    folder=$(CDPATH='' cd -P -- "$1/control" && printf %s "$PWD")
    for letter in '%' ' ' '#' ',' '?'; do folder=${folder//"$letter"/$(printf %%%02X "'$letter")}; done
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="file://$folder" UV_OFFLINE=1 UV_NO_INDEX=1 UV_FIND_LINKS=''
}

prepare() { # prepare FOLDER REQUIREMENTS: make an environment under the lock
    local part
    for part in failures tools pip_settings; do
        # shellcheck source=/dev/null
        source "$here/provision/setup/$part.bash"
    done
    unset PYTHONHOME PYTHONPATH
    keep_connection_settings
    if [[ $bundle ]]; then take_wheels_from "$bundle"; fi
    take_lock
    ready "$@" || make_environment "$@"
    release_lock
}

ensure() { # ensure FOLDER REQUIREMENTS
    ready "$@" || (prepare "$@") # a subshell: the verb sees the user's variables
}

main() {
    local here prefix bundle='' word before=''
    ((BASH_VERSINFO[0] >= 4)) || fail 3 "bash $BASH_VERSION is too old" "install bash 4 or newer"
    find_checkout
    keep_out_of_a_missing_home
    if [[ ${1:-} == triage ]]; then # on a broken host, .venv may be broken as well
        # shellcheck source=/dev/null
        source "$here/provision/setup/triage.bash"
        start_triage "${@:2}"
    fi
    for word in "$@"; do
        if [[ $before == --bundle ]]; then bundle=$word; elif [[ $word == --bundle=* ]]; then bundle=${word#*=}; fi
        before=$word
    done
    ensure "$here/.venv" "$here/requirements.txt"
    if [[ ${1:-} != test ]]; then exec "$here/.venv/bin/vllm-ready" "$@"; fi
    ensure "$here/.venv-test" "$here/requirements-test.txt"
    unset PYTHONHOME PYTHONPATH
    cd -- "$here"
    exec "$here/.venv-test/bin/python" -m pytest -n auto --dist worksteal "${@:2}"
}

main "$@"
