#!/bin/bash
# vllm-serve.sh start|wait|switch: what the units beside this file run. Settings: vllm-serve.default.
set -euo pipefail
prefix=${PREFIX:-/opt/vllm-ready/envs} port=${PORT:-8000}

fail() { printf 'vllm-serve: %s\n' "$1" >&2; exit "${2:-1}"; }

# The real folder, not the link: a switch then changes nothing for this server, and `prune` sees it.
environment() { readlink -e -- "$prefix/current" || fail "$prefix/current is no environment: run ./setup.sh" 78; }

answers() { curl -fsS --max-time 5 "http://127.0.0.1:$port/$1" 2>/dev/null; }

start() {
    local here
    here=$(environment)
    # `used` is written when an environment becomes current, which takes a verification.
    [[ -e $here/.vllm-ready/used ]] || fail "$here was never verified: run ./setup.sh" 78
    compgen -G "$here/.vllm-ready/verified/*.json" >/dev/null ||
        printf 'vllm-serve: warning: a check of %s has failed since it was verified; see ./setup.sh report\n' "$here" >&2
    read -ra arguments <<<"${ARGS:-}"
    exec "$here/bin/vllm" serve "${MODEL:?set MODEL in /etc/default/vllm-serve}" --port "$port" "${arguments[@]}"
}

wait_until_ready() { # systemd ends this after TimeoutStartSec
    until answers health >/dev/null; do
        [[ -z ${MAINPID:-} || -d /proc/$MAINPID ]] || fail "the server has ended while it started"
        sleep 2
    done
}

requests() { # the number of requests that run or wait
    answers metrics | awk '/^vllm:num_requests_(running|waiting)[{ ]/ { sum += $NF } END { printf "%d\n", sum }'
}

switch() {
    local now served until
    [[ ${RESTART_ON_SWITCH:-no} == yes ]] || { echo "RESTART_ON_SWITCH is not yes: the server stays as it is"; return; }
    now=$(environment)
    served=$(systemctl show --property MainPID --value vllm-serve.service)
    [[ ${served:-0} != 0 ]] || { echo "the server does not run"; return; }
    if tr '\0' '\n' <"/proc/$served/cmdline" | grep -qF -- "$now/"; then echo "the server already uses $now"; return; fi
    until=$((SECONDS + ${DRAIN_SECONDS:-300}))
    while (($(requests) > 0 && SECONDS < until)); do sleep 1; done
    systemctl restart vllm-serve.service
}

case ${1:-} in
    start) start ;;
    wait) wait_until_ready ;;
    switch) switch ;;
    *) fail "usage: vllm-serve.sh start|wait|switch" 64 ;;
esac
