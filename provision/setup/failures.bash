# Explains why a step failed: known causes with the command that helps, otherwise the last lines.
# shellcheck shell=bash disable=SC2154  # here belongs to setup.sh, which sources this

without_passwords() { # without_passwords TEXT: print it without logins in addresses
    local text=$1 before after
    while [[ $text =~ ^(.*://)[^/@[:space:]]+@(.*)$ ]]; do
        before=${BASH_REMATCH[1]} after=${BASH_REMATCH[2]}
        text=$before$after
    done
    printf %s "$text"
}

room() { # room FOLDER...: print the free space of each
    local folder left joined=''
    for folder in "$@"; do
        while [[ ! -e $folder && $folder == */* ]]; do folder=${folder%/*}; done
        left=$(df -kP -- "${folder:-/}" | { read -r _; read -r _ _ _ left _; echo "$left"; })
        joined+="${joined:+, }${folder:-/} ($((left / 1024)) MB left)"
    done
    printf %s "$joined"
}

explain() { # explain WHAT OUTPUT: exit with the cause of a failure
    local lines cache again='then retry with the same command'
    mapfile -t lines <<<"$(without_passwords "$2")"
    printf '    %s\n' "${lines[@]:(${#lines[@]} > 6 ? ${#lines[@]} - 6 : 0)}" >&2
    cache=${UV_CACHE_DIR:-${PIP_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}}}
    case ${2,,} in
        *'no interpreter found'*)
            fail 3 "uv finds no Python 3.10 to 3.14 and is not allowed to download one" "$(package_command)" ;;
        *'no space left'* | *'disk quota exceeded'*)
            fail 4 "$1: no space left on one of $(room "$here" "${TMPDIR:-/tmp}" "$cache")" \
                "free 300 MB, or use other disks: TMPDIR=/big/tmp UV_CACHE_DIR=/big/uv PIP_CACHE_DIR=/big/pip ./setup.sh" ;;
        *'hash mismatch'* | *'do not match the hashes'*)
            fail 4 "$1: the index serves another file than requirements.txt pins" \
                "clear the cache ('uv cache clean', 'pip cache purge') or repair the mirror, $again" ;;
        *unknownissuer* | *certificate_verify_failed* | *'invalid peer certificate'*)
            fail 4 "$1: this host does not trust the certificate of the index" \
                "name your certificate authority: PIP_CERT=/path/to/your/ca.pem ./setup.sh" ;;
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
            fail 4 "$1: the index has no file of a pinned version for this machine" \
                "update the mirror, or name another: PIP_INDEX_URL=https://mirror/simple ./setup.sh" ;;
        *'permission denied'* | *'read-only file system'* | *'operation not permitted'*)
            fail 3 "$1: this folder cannot be written" "run it as the owner of $here, or clone into a folder of your own" ;;
        *) fail 4 "$1 failed, as shown above" "fix the cause shown above, $again" ;;
    esac
}

refuse_foreign() { # refuse_foreign PATH: nothing of another user is overwritten
    fail 3 "$1 belongs to another user (user id $(stat -c %u -- "$1"))" "sudo rm -rf '$1'"
}

refuse_unwritable() {
    local python=$here/.venv/bin/python
    if [[ -L $python && ! -x $python ]]; then # its Python is in the owner's home, which others cannot enter
        fail 3 "$here belongs to another user, and its Python ($(readlink -- "$python")) cannot be reached" \
            "clone into a folder of your own, or let its owner run: rm -rf '$here/.venv' && UV_PYTHON_PREFERENCE=only-system ./setup.sh"
    fi
    fail 3 "$here cannot be written, and the control environment belongs there" \
        "clone into a folder of your own, or let its owner run ./setup.sh once; after that, read access is enough"
}

refuse_noexec() { # refuse_noexec FOLDER: fail early if programs cannot be started there
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
