# Says why a step failed: the usual causes by name and the command that helps, the last lines for the others.
# shellcheck shell=bash disable=SC2154  # here belongs to setup.sh, which sources this

without_passwords() { # without_passwords TEXT
    local text=$1 before after
    while [[ $text =~ ^(.*://)[^/@[:space:]]+@(.*)$ ]]; do
        before=${BASH_REMATCH[1]} after=${BASH_REMATCH[2]}
        text=$before$after
    done
    printf %s "$text"
}

room() { # room FOLDER...: how much each has left
    local folder left joined=''
    for folder in "$@"; do
        while [[ ! -e $folder && $folder == */* ]]; do folder=${folder%/*}; done
        left=$(df -kP -- "${folder:-/}" | { read -r _; read -r _ _ _ left _; echo "$left"; })
        joined+="${joined:+, }${folder:-/} ($((left / 1024)) MB left)"
    done
    printf %s "$joined"
}

explain() { # explain WHAT OUTPUT: the usual causes by name, the last lines for the others
    local lines cache again='then run the same command again'
    mapfile -t lines <<<"$(without_passwords "$2")"
    printf '    %s\n' "${lines[@]:(${#lines[@]} > 6 ? ${#lines[@]} - 6 : 0)}" >&2
    cache=${UV_CACHE_DIR:-${PIP_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}}}
    case ${2,,} in
        *'no interpreter found'*)
            fail 3 "uv finds no Python 3.10 to 3.14 here and may not fetch one" "$(package_command)" ;;
        *'no space left'* | *'disk quota exceeded'*)
            fail 4 "$1: no space left on one of $(room "$here" "${TMPDIR:-/tmp}" "$cache")" \
                "free 300 MB there, or: TMPDIR=/big/tmp UV_CACHE_DIR=/big/uv PIP_CACHE_DIR=/big/pip ./setup.sh" ;;
        *'hash mismatch'* | *'do not match the hashes'*)
            fail 4 "$1: the index serves another file than requirements.txt pins" \
                "a damaged download or mirror: empty the cache ('uv cache clean', 'pip cache purge') or repair the mirror, $again" ;;
        *unknownissuer* | *certificate_verify_failed* | *'invalid peer certificate'*)
            fail 4 "$1: the index's certificate is signed by nobody this host trusts" \
                "PIP_CERT=/path/to/your/ca.pem ./setup.sh" ;;
        *'proxy authentication'* | *proxyerror* | *'connect to proxy'* | *'tunnel'*)
            fail 4 "$1: the proxy refuses or does not answer" "check HTTPS_PROXY, https_proxy and pip's proxy setting, $again" ;;
        *'401 unauthorized'* | *'403 forbidden'* | *'401 error'* | *'403 error'*)
            fail 4 "$1: the index refuses these credentials" "check index-url in pip's configuration, $again" ;;
        *'dns error'* | *'error sending request'* | *'failed to establish'* | *'failed to fetch'* | *'timed out'* | \
            *'name resolution'* | *'connection refused'* | *unreachable* | *'could not resolve'* | *'unable to resolve'* | \
            *'failed to connect'* | *"couldn't connect"*)
            fail 4 "$1: the network or the package index does not answer" \
                "${network_hint:-check the network${HTTPS_PROXY:+ and the proxy}, or name your mirror: PIP_INDEX_URL=https://mirror/simple ./setup.sh}" ;;
        *'no matching distribution'* | *'no solution found'* | *'not found in the package registry'*)
            fail 4 "$1: the index has no file of a pinned version for this machine, or does not show it to us" \
                "bring the mirror up to date, or name another: PIP_INDEX_URL=https://mirror/simple ./setup.sh" ;;
        *'permission denied'* | *'read-only file system'* | *'operation not permitted'*)
            fail 3 "$1: this place may not be written" "run it as the owner of $here, or clone into a folder of your own" ;;
        *) fail 4 "$1 failed, as shown above" "mend what it names, $again" ;;
    esac
}

refuse_foreign() { # refuse_foreign PATH: nothing here is taken over by force
    fail 3 "$1 belongs to another user (user id $(stat -c %u -- "$1"))" "sudo rm -rf '$1'"
}

refuse_unwritable() {
    local python=$here/.venv/bin/python
    if [[ -L $python && ! -x $python ]]; then # made by its owner, with a Python in a home that others may not enter
        fail 3 "$here belongs to another user, and its Python ($(readlink -- "$python")) cannot be reached by this one" \
            "clone into a folder of your own, or let its owner run: rm -rf '$here/.venv' && UV_PYTHON_PREFERENCE=only-system ./setup.sh"
    fi
    fail 3 "$here cannot be written, and the control environment lives in it" \
        "clone into a folder of your own, or let its owner run ./setup.sh once: after that reading is enough"
}

refuse_noexec() { # refuse_noexec FOLDER: before time is spent on what could never start
    local mount
    attempt "writing to $1" write_nothing "$1/try"
    if ! "$1/try" 2>/dev/null; then
        mount=$(stat -c %m -- "$1")
        fail 3 "programs cannot be started from $here: $mount is mounted noexec" \
            "clone to another file system, or: sudo mount -o remount,exec '$mount'"
    fi
    rm -f -- "$1/try"
}

write_nothing() { printf '#!/bin/sh\n' >"$1" && chmod +x "$1"; }
