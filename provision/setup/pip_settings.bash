# Passes the settings of pip (indexes, certificates, proxy) on to uv, which does not read them.
# shellcheck shell=bash

read_pip_file() { # read_pip_file FILE: into pip_setting[section.key]; later files win, [install] wins over [global]
    local line section='' key=''
    [[ -f $1 && -r $1 ]] || return 0
    while IFS= read -r line || [[ $line ]]; do
        line=${line%$'\r'}
        if [[ $line =~ ^[[:space:]]*([#\;].*)?$ ]]; then
            continue
        elif [[ $line =~ ^\[(.*)\] ]]; then
            section=${BASH_REMATCH[1]} key=''
        elif [[ $line =~ ^[[:space:]]+(.*)$ && $key ]]; then
            pip_setting[$section.$key]+=" ${BASH_REMATCH[1]}"
        elif [[ $line =~ ^([^=:]*[^=:[:space:]])[[:space:]]*[=:][[:space:]]*(.*)$ ]]; then
            key=${BASH_REMATCH[1],,}
            key=${key//_/-}
            pip_setting[$section.$key]=${BASH_REMATCH[2]}
        fi
    done <"$1"
}

read_pip_files() {
    local folder folders
    declare -gA pip_setting=()
    [[ ${PIP_CONFIG_FILE:-} != /dev/null ]] || return 0
    IFS=: read -ra folders <<<"${XDG_CONFIG_DIRS:-/etc/xdg}"
    for folder in "${folders[@]}"; do read_pip_file "$folder/pip/pip.conf"; done
    read_pip_file /etc/pip.conf
    if [[ -e ${PIP_CONFIG_FILE:-} ]]; then
        read_pip_file "$PIP_CONFIG_FILE"
    else
        read_pip_file "$HOME/.pip/pip.conf"
        read_pip_file "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf"
    fi
}

pip_value() { # pip_value KEY: print a setting on one line, with absolute paths
    local variable=PIP_${1^^} word words joined=''
    variable=${variable//-/_}
    local value=${!variable:-${pip_setting[install.$1]:-${pip_setting[global.$1]:-}}}
    read -rd '' -a words <<<"$value" || true
    for word in ${words[@]+"${words[@]}"}; do
        case $1:$word in
            proxy:* | trusted-host:* | no-index:* | timeout:* | retries:* | keyring-provider:* | *:*://* | *:/*) ;;
            *:\~/*) word=$HOME/${word#\~/} ;;
            *) word=$PWD/$word ;;
        esac
        joined+="${joined:+ }$word"
    done
    printf %s "$joined"
}

hand_on() { # hand_on PIP_KEY VARIABLE [SYNONYM]...: set the variable unless one of them is set
    local value name
    value=$(pip_value "$1")
    for name in "${@:2}"; do [[ ! ${!name:-} ]] || return 0; done
    if [[ $1 == no-index && ! ${value,,} =~ ^(1|y|yes|t|true|on)$ ]]; then return 0; fi
    [[ $value ]] || return 0
    if [[ $1 == proxy && $value != *://* ]]; then value=http://$value; fi
    if [[ $1 == find-links ]]; then value=${value// /,}; fi
    export "$2=$value"
    [[ $handed_on == *"$1" ]] || handed_on+="${handed_on:+, }$1"
}

keep_connection_settings() { # of all settings of pip; others would make it install elsewhere, or nothing
    local key variable value kept=' '
    read_pip_files
    for key in index-url extra-index-url find-links no-index cert client-cert trusted-host proxy \
        timeout retries keyring-provider cache-dir; do
        variable=PIP_${key^^}
        variable=${variable//-/_}
        value=$(pip_value "$key")
        if [[ $value ]]; then export "$variable=$value"; fi
        kept+="$variable "
    done
    for variable in "${!PIP_@}"; do
        if [[ $kept != *" $variable "* ]]; then unset "$variable"; fi
    done
    export PIP_CONFIG_FILE=/dev/null
}

hand_on_pip_settings() {
    local bundle handed_on=''
    hand_on index-url UV_DEFAULT_INDEX UV_INDEX_URL
    hand_on extra-index-url UV_INDEX UV_EXTRA_INDEX_URL
    hand_on find-links UV_FIND_LINKS
    hand_on no-index UV_NO_INDEX
    hand_on cert SSL_CERT_FILE
    hand_on client-cert SSL_CLIENT_CERT
    hand_on trusted-host UV_INSECURE_HOST
    hand_on proxy https_proxy HTTPS_PROXY ALL_PROXY all_proxy
    hand_on proxy http_proxy HTTP_PROXY ALL_PROXY all_proxy
    # Like pip, take the pinned file from any index that has it: the hashes make that safe.
    export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem; do
        if [[ -s $bundle ]]; then export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1; fi
    done
    if [[ $handed_on ]]; then say "using pip's settings for uv: $handed_on"; fi
}
