#!/usr/bin/env bash
# The front door: makes the control environment .venv from hash-pinned requirements, then hands every argument
# to vllm-ready. Needs bash, coreutils and any one of uv, Python with venv, curl or wget; talks on stderr only.
if [ -z "${BASH_VERSION:-}" ]; then # started as `sh setup.sh`
    command -v bash >/dev/null || { echo "error: setup.sh is written for bash, which is not here" >&2; exit 3; }
    exec bash "$0" "$@"
fi
set +o posix
set -euo pipefail
trap 'exit 130' INT

readonly LAYOUT=1 # raise it when an environment must be made differently from the same pins

say() { printf 'setup: %s\n' "$*" >&2; }

fail() { # fail EXIT_CODE WHAT HINT
    printf 'error: %s\n hint: %s\n' "$2" "$3" >&2
    exit "$1"
}

attempt() { # attempt WHAT COMMAND...: quiet unless it fails
    local said
    said=$("${@:2}" 2>&1 </dev/null) || explain "$1" "$said"
}

find_checkout() { # sets here: where this script really lies, however it was called
    local script=${BASH_SOURCE[0]}
    if [[ -L $script ]]; then script=$(readlink -f -- "$script"); fi
    [[ $script == */* ]] || script=./$script
    here=$(CDPATH='' cd -P -- "${script%/*}" && printf %s "$PWD")
    prefix=${VLLM_READY_PREFIX:-$here/envs}
}

keep_out_of_a_missing_home() { # a container's user id often has no home, or only "/"
    if [[ -z ${HOME:-} || $HOME == / || ! -d $HOME ]]; then
        export HOME=$prefix/home
    elif [[ -w $HOME ]]; then
        return 0
    fi
    export UV_CACHE_DIR="${UV_CACHE_DIR:-$prefix/cache/uv}" PIP_CACHE_DIR="${PIP_CACHE_DIR:-$prefix/cache/pip}"
}

ready() { # ready FOLDER REQUIREMENTS: made here, from these very pins, its Python still the same. Starts no process.
    local where='' base='' pins='' wanted=''
    [[ -r $1/.ready && -x $1/bin/vllm-ready ]] || return 1
    { IFS= read -r where; IFS= read -r base; IFS= read -rd '' pins || true; } <"$1/.ready"
    IFS= read -rd '' wanted <"$2" || true
    [[ $where == "$LAYOUT $here" && $1/bin/python -ef $base && $pins == "$wanted" ]]
}

take_lock() { # a kernel lock where there is one; without flock(1), a link that names its owner
    local lock=$here/.venv.lock owner
    [[ -w $here ]] || refuse_unwritable
    attempt "making $lock" mkdir -p -- "$lock"
    [[ -w $lock && (! -e $lock/lock || -w $lock/lock) ]] || refuse_foreign "$lock"
    if command -v flock >/dev/null; then
        exec 9>>"$lock/lock"
        flock -n 9 && return 0
        say "another setup.sh is at work here; waiting for it"
        flock 9 || say "this file system has no locks: start only one setup.sh at a time"
        return 0
    fi
    until ln -s "$$" "$lock/owner" 2>/dev/null; do
        owner=$(readlink -- "$lock/owner") || continue
        if [[ -d /proc/$owner ]]; then sleep 0.2; else rm -f -- "$lock/owner"; fi
    done
}

release_lock() { # the kernel takes its own back when this subshell ends
    command -v flock >/dev/null || rm -f -- "$here/.venv.lock/owner"
}

install_with_uv() { # install_with_uv FOLDER REQUIREMENTS
    hand_on_pip_settings
    export UV_LINK_MODE=copy # a clone falls back to hard links, and an edit would then reach uv's cache
    export UV_PYTHON_INSTALL_DIR="${UV_PYTHON_INSTALL_DIR:-$prefix/pythons}" UV_PYTHON_INSTALL_BIN=0
    unset UV_CONSTRAINT UV_OVERRIDE UV_EXCLUDE UV_PYTHON UV_SYSTEM_PYTHON UV_BREAK_SYSTEM_PACKAGES UV_NO_BINARY
    cd -- "$here" # a project around the caller's folder has no say
    say "making $1 with uv"
    network_hint="a Python for uv comes from github.com; without it: $(package_command)" \
        attempt "making $1" "$uv" venv --clear --no-project --python '>=3.10,<3.15' "$1"
    say "installing the pinned packages"
    attempt "installing the pinned packages" "$uv" pip install --python "$1/bin/python" --no-deps \
        --require-hashes --only-binary :all: ${UV_NO_INDEX:+--no-index} -r "$2"
}

install_with_pip() { # install_with_pip FOLDER REQUIREMENTS
    say "making $1 with $python"
    attempt "making $1" "$python" -I -m venv "$1"
    say "installing the pinned packages"
    PIP_RETRIES="${PIP_RETRIES:-2}" attempt "installing the pinned packages" "$1/bin/python" -I -m pip \
        --disable-pip-version-check --no-input install --no-user --no-deps \
        --require-hashes --only-binary :all: -r "$2"
}

open_to_the_checkout() { # open_to_the_checkout FOLDER: the code is used where it lies, not installed
    local site quoted=${1//\'/\'\\\'\'}
    for site in "$1"/lib/python3.*/site-packages; do
        echo ../../../.. >"$site/vllm-ready.pth" || return # the checkout, in letters that every locale can read
    done
    echo '*' >"$1/.gitignore" || return
    # -I: a PYTHONPATH or a user's site-packages never reaches the control environment.
    printf '#!/bin/sh\nexec '\''%s/bin/python'\'' -I -c '\''%s'\'' "$@"\n' "$quoted" \
        'from provision.cli import main; raise SystemExit(main())' >"$1/bin/vllm-ready" &&
        chmod +x "$1/bin/vllm-ready"
}

stamp() { # stamp FOLDER PINS: the last thing written; without it the folder counts for nothing
    printf '%s\n%s\n%s' "$LAYOUT $here" "$(readlink -f -- "$1/bin/python")" "$2" >"$1/.ready.new" &&
        mv -- "$1/.ready.new" "$1/.ready"
}

make_environment() { # make_environment FOLDER REQUIREMENTS: in place, because scripts carry their folder's name
    local pins uv python
    if [[ -e $1 && ! -w $1 ]]; then refuse_foreign "$1"; fi
    attempt "removing the old $1" rm -rf -- "$1"
    attempt "making $1" mkdir -- "$1"
    refuse_noexec "$1"
    choose_tool
    IFS= read -rd '' pins <"$2" || true # before installing: a change meanwhile must not count as installed
    if [[ $uv ]]; then install_with_uv "$1" "$2"; else install_with_pip "$1" "$2"; fi
    attempt "finishing $1" open_to_the_checkout "$1"
    attempt "finishing $1" stamp "$1" "$pins"
    say "$1 is ready"
}

take_wheels_from() { # take_wheels_from FOLDER: of a bundle, for a host without a network
    [[ -d $1/control ]] || fail 2 "$1 is no bundle" "name the folder that ./setup.sh bundle made"
    local folder letter
    folder=$(CDPATH='' cd -P -- "$1/control" && printf %s "$PWD")
    for letter in '%' ' ' '#' ',' '?'; do folder=${folder//"$letter"/$(printf %%%02X "'$letter")}; done
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="file://$folder" UV_OFFLINE=1 UV_NO_INDEX=1 UV_FIND_LINKS=''
}

prepare() { # prepare FOLDER REQUIREMENTS: what is only needed where something has to be made
    local part
    for part in failures tools pip_settings; do
        # shellcheck source=/dev/null
        source "$here/provision/setup/$part.bash"
    done
    unset PYTHONHOME PYTHONPATH
    # These lead an installer out of the environment that it is to fill.
    unset PIP_CONSTRAINT PIP_TARGET PIP_USER PIP_REQUIRE_VIRTUALENV PIP_PREFIX PIP_ROOT
    if [[ $bundle ]]; then take_wheels_from "$bundle"; fi
    take_lock
    ready "$@" || make_environment "$@"
    release_lock
}

ensure() { # ensure FOLDER REQUIREMENTS
    ready "$@" || (prepare "$@") # in a subshell: the verb finds its variables as the user has set them
}

main() {
    local here prefix bundle='' word before=''
    ((BASH_VERSINFO[0] >= 4)) || fail 3 "bash $BASH_VERSION is too old" "install bash 4 or newer"
    find_checkout
    keep_out_of_a_missing_home
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
