# Finds a tool that makes environments: uv, a Python with venv, or curl or wget to download uv.
# shellcheck shell=bash disable=SC2034,SC2154  # here, prefix, uv and python belong to setup.sh, which sources this

readonly UV_VERSION=0.12.3
readonly UV_INSTALLER="${VLLM_READY_UV_INSTALLER_URL:-https://astral.sh/uv/$UV_VERSION/install.sh}"
# The installer in turn contains the checksum of every archive that it downloads.
readonly UV_INSTALLER_SHA256="${VLLM_READY_UV_INSTALLER_SHA256:-a7e3924ea1cd06bf1518c577d635c624ae2e2db030e0fc8ff8cf426224384e17}"

package_command() { # print the command that installs a suitable Python on this distribution
    local key value family='' version=0 first sudo='sudo '
    if [[ $EUID == 0 ]]; then sudo=''; fi
    while IFS='=' read -r key value; do
        value=${value//[\"\']/}
        case $key in
            ID | ID_LIKE) family+=" $value " ;;
            VERSION_ID) version=${value%%.*} ;;
        esac
    done 2>/dev/null </etc/os-release || true
    case $family in
        *" debian "* | *" ubuntu "*)
            [[ $family == *" ubuntu "* ]] && first=22 || first=12
            if ((version && version < first)); then # it has no Python 3.10, but uv can download one with curl
                echo "${sudo}apt-get install curl ca-certificates"
            else
                echo "${sudo}apt-get install python3 python3-venv"
            fi ;;
        *" fedora "* | *" rhel "* | *" centos "* | *" amzn "*) echo "${sudo}dnf install python3.11" ;;
        *suse* | *" sles "*) echo "${sudo}zypper install python311" ;;
        *" alpine "*) echo "${sudo}apk add python3" ;;
        *" arch "*) echo "${sudo}pacman -S python" ;;
        *) echo "install Python 3.10 or newer, or curl, with this system's package manager" ;;
    esac
}

find_uv() { # set uv; versions before 0.5 do not know the variables that carry pip's settings
    local candidate output
    for candidate in uv "$prefix/tools/uv"; do
        output=$("$candidate" --version 2>/dev/null) || continue
        [[ $output =~ ^uv\ ([0-9]+)\.([0-9]+) ]] || continue
        if ((BASH_REMATCH[1] > 0 || BASH_REMATCH[2] >= 5)); then
            uv=$candidate
            return 0
        fi
    done
    return 1
}

find_python() { # set python to the newest one with venv, or python_problem to the reason why there is none
    local name output version venv path
    local probe='import importlib.util as u, os, sys
print("%d.%d" % sys.version_info[:2], "venv" if u.find_spec("ensurepip") and u.find_spec("venv") else "bare",
      os.path.realpath(getattr(sys, "_base_executable", sys.executable)))'
    python_problem=''
    for name in python3.14 python3.13 python3.12 python3.11 python3.10 python3 python; do
        output=$("$name" -I -c "$probe" 2>/dev/null) || continue
        read -r version venv path <<<"$output"
        if [[ $version != 3.* ]] || ((${version#3.} < 10)); then
            if [[ ! $python_problem ]]; then python_problem="Python $version ($name) is too old"; fi
        elif [[ $venv != venv ]]; then
            python_problem="Python $version ($name) has no venv"
        else
            python=$path
            return 0
        fi
    done
    python_problem=${python_problem:-Python 3 is not installed}
    return 1
}

fetch_uv() { # install uv into the prefix with its own installer; shell profiles are not changed
    local script=$prefix/tools/install-uv.$$.sh sum network_hint
    network_hint="uv comes from astral.sh and github.com; without them: $(package_command)"
    say "downloading uv $UV_VERSION into $prefix/tools"
    attempt "making $prefix/tools" mkdir -p -- "$prefix/tools"
    if command -v curl >/dev/null; then
        attempt "downloading $UV_INSTALLER" curl -fsSL --connect-timeout 15 --retry 2 -o "$script" "$UV_INSTALLER"
    else
        attempt "downloading $UV_INSTALLER" wget -nv -T 15 -O "$script" "$UV_INSTALLER"
    fi
    sum=$(sha256sum <"$script")
    if [[ ${sum%% *} != "$UV_INSTALLER_SHA256" ]]; then
        rm -f -- "$script"
        fail 4 "$UV_INSTALLER does not match the checksum in setup.sh; it was not started" \
            "a proxy may have answered instead; without uv: $(package_command)"
    fi
    attempt "installing uv" env UV_UNMANAGED_INSTALL="$prefix/tools" UV_NO_MODIFY_PATH=1 sh "$script"
    rm -f -- "$script"
    find_uv || fail 4 "the downloaded uv does not start on this host" "$(package_command)"
}

choose_tool() { # set uv, or else python
    uv='' python=''
    find_uv && return 0
    find_python && return 0
    if command -v curl >/dev/null || command -v wget >/dev/null; then
        say "$python_problem; continuing with uv"
        hand_on_pip_settings
        fetch_uv
        return 0
    fi
    fail 3 "$python_problem, and uv, curl and wget are missing too (needed: Python 3.10 or newer with venv)" \
        "$(package_command)"
}
