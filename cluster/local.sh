#!/usr/bin/env bash
# A Ray head and N worker nodes on this machine, with token authentication, on loopback addresses.
# Do not use it on a machine that strangers can reach: with more than one node, Ray always binds its
# metrics and the ports between nodes (which require the token) to every interface.
# Run on Linux with CPUs. Sharing out GPUs (--gpus) was not run, because no GPU was available.
set -euo pipefail

usage() {
    cat <<'END'
cluster/local.sh [--workers N] [--cpus N] [--gpus N] [--port N] [--dashboard-port N] [--dir DIR] [--dry-run]
cluster/local.sh --stop [--dir DIR]

  --workers N         number of worker nodes, default 2; the head runs no trials
  --cpus N            CPUs of each worker, default 1
  --gpus N            GPUs of each worker, default 0; no two workers share one
  --port N            port of the head, default 6379
  --dashboard-port N  port of the dashboard and the job server, default 8265
  --dir DIR           new folder for token, logs and sockets; use a short path
  --dry-run           print the commands, then stop
  --stop              stop the nodes of DIR, and no others, and delete DIR
END
}

workers=2 cpus=1 gpus=0 port=6379 dashboard_port=8265 dir="/tmp/dianet-$UID" action=start

while (($#)); do
    case $1 in
        --workers | --cpus | --gpus | --port | --dashboard-port)
            [[ ${2-} =~ ^[0-9]+$ ]] || { echo "$1 takes a number, got '${2-}'" >&2; exit 2; }
            name=${1#--}
            printf -v "${name//-/_}" '%s' "$2"
            shift 2
            ;;
        --dir) dir=${2:?--dir takes a folder}; shift 2 ;;
        --dry-run) action=print; shift ;;
        --stop) action=stop; shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
[[ $dir == /* ]] || dir="$PWD/$dir"

is_ours() { # another process may have the process id by now
    # -ww, because ps cuts its lines where the shell exports COLUMNS
    [[ $(ps -ww -p "$1" -o args= 2>/dev/null) == *"--temp-dir=$dir/"* ]]
}

stop() {
    [[ -f $dir/token ]] || { echo "there are no nodes of ours in $dir" >&2; exit 2; }
    local file pid
    for file in "$dir"/worker-*.pid "$dir"/head.pid; do
        [[ -f $file ]] || continue
        pid=$(<"$file")
        is_ours "$pid" || continue
        kill -TERM "$pid"
        for _ in {1..50}; do
            is_ours "$pid" || break
            sleep 0.2
        done
        kill -KILL -- "-$pid" 2>/dev/null || true # whatever is left of the node's process group
    done
    rm -rf -- "$dir"
    echo "stopped; $dir has been deleted"
}

node() { # node NAME VISIBLE-GPUS OPTIONS...: start one, or print how
    local name=$1 visible=$2
    shift 2
    # Each node needs its own temporary folder, because in a shared one the agent of one node deletes
    # the working directories of the other, and its own agent port, because Ray's default is fixed.
    local command=(ray start "$@" "--temp-dir=$dir/$name" "--dashboard-agent-listen-port=$agent_port"
        --node-ip-address=127.0.0.2 --disable-usage-stats --block)
    agent_port=$((agent_port + 1))
    if [[ $action == print ]]; then
        printf 'CUDA_VISIBLE_DEVICES=%s' "$visible"
        printf ' %q' "${command[@]}"
        echo
        return
    fi
    CUDA_VISIBLE_DEVICES=$visible nohup "${command[@]}" >"$dir/$name.log" 2>&1 </dev/null &
    echo $! >"$dir/$name.pid"
}

wait_for() { # wait_for WHAT COMMAND...
    local what=$1
    shift
    for _ in {1..60}; do
        "$@" >/dev/null 2>&1 && return
        sleep 1
    done
    echo "no $what after a minute: read $dir/*.log, then run cluster/local.sh --stop --dir $dir" >&2
    exit 1
}

n_nodes_are_up() { (($(ray status --address "127.0.0.2:$port" | grep -c '^ *1 node_') > workers)); }

start() {
    local i agent_port=$((dashboard_port + 1))
    node head "" --head "--port=$port" --dashboard-host=127.0.0.1 \
        "--dashboard-port=$dashboard_port" --num-cpus=0 --num-gpus=0
    if [[ $action == start ]]; then
        wait_for "head at 127.0.0.2:$port" ray status --address "127.0.0.2:$port"
    fi
    for ((i = 0; i < workers; i++)); do
        node "worker-$i" "$(seq -s, $((i * gpus)) $((i * gpus + gpus - 1)))" \
            "--address=127.0.0.2:$port" "--num-cpus=$cpus" "--num-gpus=$gpus"
    done
}

if [[ $action == stop ]]; then
    stop
    exit
fi

root=$(cd "$(dirname "$0")/.." && pwd)
command -v ray >/dev/null || PATH="$root/.venv/bin:$PATH"
PATH="$(dirname "$(command -v ray || echo /ray)"):$PATH" # jobs use the Python next to this ray
export PATH RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$dir/token"

if [[ $action == print ]]; then
    echo "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=${dir@Q}/token"
    start
    exit
fi

command -v ray >/dev/null || { echo "there is no ray command: run make demo first, or activate its environment" >&2; exit 2; }
mkdir -m 700 -- "$dir" || { echo "nodes may be running in $dir: run cluster/local.sh --stop --dir $dir" >&2; exit 2; }
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$dir/token")
set -m # each node gets its own process group, so that stop reaches all of it and nothing else
start
wait_for "$workers workers" n_nodes_are_up
wait_for "job server" ray job list --address "http://127.0.0.1:$dashboard_port"
cat <<END
A head and $workers workers are running. From the project's folder, in any of your shells:

    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$dir/token
    ray job submit --address http://127.0.0.1:$dashboard_port --working-dir . -- \\
        python -m dianet_ray search IMAGES STUDY --space quick

IMAGES and STUDY must be absolute paths. Dashboard: http://127.0.0.1:$dashboard_port (requires the token).
Logs: $dir/*.log. To stop: cluster/local.sh --stop --dir $dir
END
