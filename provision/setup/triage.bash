# shellcheck shell=bash
# Start triage through the newest Python on PATH, before anything looks at .venv. It needs no package,
# and writes nothing. Without a Python, bash prints the readings itself.

within() { # within SECONDS COMMAND...: a hanging driver must not keep us
    if command -v timeout >/dev/null; then timeout -k 1 "$@"; else "${@:2}"; fi
}

newest_python() { # print the newest python3 that starts and is 3.6 or newer
    local folder path minor best='' most=5 folders
    IFS=: read -ra folders <<<"$PATH:/usr/local/bin:/usr/bin"
    for folder in "${folders[@]}"; do
        for path in "$folder"/python3 "$folder"/python3.[0-9] "$folder"/python3.[0-9][0-9]; do
            [[ -x $path && ! -d $path ]] || continue
            minor=$(within 3 "$path" -I -S -c 'import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)' 2>/dev/null) || continue
            if [[ $minor =~ ^[0-9]+$ ]] && ((minor > most)); then best=$path most=$minor; fi
        done
    done
    [[ $best ]] && printf %s "$best"
}

reading() { # reading TITLE COMMAND...: print a title and what a command says, within its deadline
    local title=$1 text
    text=$(within 5 "${@:2}" 2>&1) || text="${text:+$text }(not readable, or no answer)"
    printf '%-20s %s\n' "$title" "${text:-(none)}" | head -n 40
}

readings_by_bash() {
    say "no Python 3.6 or newer was found; these are the bare readings"
    reading system uname -srm
    reading driver cat /proc/driver/nvidia/version
    reading devices sh -c 'ls /dev/nvidia* 2>/dev/null || echo "no /dev/nvidia*"'
    reading nvidia-smi nvidia-smi
    reading 'kernel log' sh -c 'dmesg | grep -iE "nvrm|xid|out of memory" | tail -n 20'
    reading 'fabric manager' systemctl is-active nvidia-fabricmanager
    reading memory head -n 3 /proc/meminfo
    reading disks df -h / /tmp /dev/shm "$here"
    reading environment ls -l "$prefix/current"
    printf 'next: install a Python 3.6 or newer, then ./setup.sh triage\n'
}

start_triage() {
    local python
    if ! python=$(newest_python); then
        readings_by_bash
        exit 5
    fi
    # -I -S -B: nothing of the user or of site-packages, and no file is written.
    exec "$python" -I -S -B -c '
import sys
sys.path.append(sys.argv[1])
from triage.__main__ import main
sys.exit(main(sys.argv[3:], sys.argv[2]))' "$here/provision/diagnose" "$here" "$@"
}
