#!/usr/bin/env bash
# A Ray head and N worker nodes on this machine: token authentication on, addresses on loopback.
# Ray itself binds its ports between nodes (they ask for the token) and its metrics to every
# interface, which no option changes for more than one node: not for a machine open to strangers.
# Run on Linux with CPUs; slices of GPUs (--gpus) are written but were not run, no GPU was at hand.
set -euo pipefail

usage() {
    cat <<'END'
cluster/local.sh [--workers N] [--cpus N] [--gpus N] [--port N] [--dashboard-port N] [--dir DIR] [--dry-run]
cluster/local.sh --stop [--dir DIR]

  --workers N         worker nodes, 2 by default; the head itself runs no trials
  --cpus N            CPUs of each worker, 1 by default
  --gpus N            GPUs of each worker, 0 by default; no two workers share one
  --port N            6379 by default
  --dashboard-port N  8265 by default; also the job server's
  --dir DIR           new folder for token, logs and sockets; its path must be short
  --dry-run           print the commands and stop
  --stop              end the nodes that DIR belongs to, nobody else's, and delete DIR
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

is_ours() { # a process id may have been given to somebody else since
    [[ $(ps -p "$1" -o args= 2>/dev/null) == *"--temp-dir=$dir/"* ]]
}

stop() {
    [[ -f $dir/token ]] || { echo "no nodes of ours in $dir" >&2; exit 2; }
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
        kill -KILL -- "-$pid" 2>/dev/null || true # what is left of the node's process group
    done
    rm -rf -- "$dir"
    echo "stopped; $dir is deleted"
}

node() { # node NAME VISIBLE-GPUS OPTIONS...: start one, or print how
    local name=$1 visible=$2
    shift 2
    # Own temporary folders: in a shared one a node's agent deletes the other's working directories.
    # Own agent ports: Ray's default is one for the whole host.
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
    echo "no $what after a minute: see $dir/*.log; then cluster/local.sh --stop --dir $dir" >&2
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
PATH="$(dirname "$(command -v ray || echo /ray)"):$PATH" # jobs use the Python beside this ray
export PATH RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$dir/token"

if [[ $action == print ]]; then
    echo "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=${dir@Q}/token"
    start
    exit
fi

command -v ray >/dev/null || { echo "no ray command: run make demo first, or activate the environment" >&2; exit 2; }
mkdir -m 700 -- "$dir" || { echo "something runs there or was left: cluster/local.sh --stop --dir $dir" >&2; exit 2; }
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$dir/token")
set -m # each node in a process group of its own, so that stop reaches all of it and nothing else
start
wait_for "$workers workers" n_nodes_are_up
wait_for "job server" ray job list --address "http://127.0.0.1:$dashboard_port"
cat <<END
A head and $workers workers are up. From the project's folder, in any shell of yours:

    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$dir/token
    ray job submit --address http://127.0.0.1:$dashboard_port --working-dir . -- \\
        python -m dianet_ray search IMAGES STUDY --space quick

IMAGES and STUDY are absolute paths. Dashboard: http://127.0.0.1:$dashboard_port (it asks for the token).
Logs: $dir/*.log. End it: cluster/local.sh --stop --dir $dir
END
