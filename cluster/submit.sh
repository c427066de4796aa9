#!/usr/bin/env bash
# Check, prepare, search and report as one job on a running Ray cluster.
# Run against cluster/local.sh; no cluster of several machines was available.
set -euo pipefail

usage() {
    cat <<'END'
cluster/submit.sh [--address URL] [--runtime-env] [--dry-run] DATASET ROOT OUT [PREPARE OPTION...] -- SEARCH OPTION...

  --address URL   job server, default RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265
  --runtime-env   install our dependencies for the job, on a cluster without our image
  --dry-run       print the job and the command that submits it, then stop
  DATASET ROOT    as for prepare; ROOT must be an absolute path that every node sees
  OUT             absolute path, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER that every node sees;
                  the job makes OUT/images, OUT/study and, on a file system, OUT/report.html

    cluster/submit.sh casme2 /shared/CASME2 /shared/casme2 --apex spot -- --space dianet

The same command again continues where the job ended.
END
}

refuse() {
    echo "$1" >&2
    exit 2
}

address=${RAY_API_SERVER_ADDRESS:-http://127.0.0.1:8265} runtime_env=() dry_run=false
while (($#)); do
    case $1 in
        --address) address=${2:?--address takes a URL}; shift 2 ;;
        --runtime-env) runtime_env=(--runtime-env cluster/runtime_env.yaml); shift ;;
        --dry-run) dry_run=true; shift ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) break ;;
    esac
done
(($# >= 3)) || { usage >&2; exit 2; }
dataset=$1 root=$2 out=${3%/}
shift 3

prepare_options=()
while (($#)) && [[ $1 != -- ]]; do
    prepare_options+=("$1")
    shift
done
(($# == 0)) || shift
search_options=("$@")

[[ $address == http://* || $address == https://* ]] || refuse "--address must be that of the job server (http://head:8265): got $address"
[[ $root == /* ]] || refuse "ROOT must be an absolute path that every node sees: got $root"
[[ $out == /* || $out == s3://* || $out == gs://* ]] || refuse "OUT must be an absolute path, s3:// or gs:// (Ray deletes a job's working directory with the job): got $out"
# Otherwise a missing --space would be found only after prepare, hours later.
[[ " ${search_options[*]-} " == *" --space"[=\ ]* ]] || refuse "the search needs --space NAME after --"

job='set -eu'
step() {
    local words
    printf -v words ' %q' "$@"
    job+=$'\n'"python -m dianet_ray$words"
}
step doctor "$root" "$out"
step prepare "$dataset" "$root" "$out/images" ${prepare_options[@]+"${prepare_options[@]}"}
step search "$out/images" "$out/study" "${search_options[@]}"
if [[ $out == /* ]]; then
    step report "$out/study" --html "$out/report.html"
else
    step report "$out/study"
fi

submit=(ray job submit --address "$address" ${runtime_env[@]+"${runtime_env[@]}"} --working-dir .
    -- bash -c "$job")
if $dry_run; then
    echo "$job"
    echo
    printf '%q' "${submit[0]}"
    printf ' %q' "${submit[@]:1}"
    echo
    exit
fi

cd "$(dirname "$0")/.." # ray job submit uploads the project from here
command -v ray >/dev/null || PATH="$PWD/.venv/bin:$PATH"
export RAY_AUTH_MODE=token
exec "${submit[@]}"
