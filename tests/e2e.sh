#!/usr/bin/env bash
# Starts the binary given as first argument as a user would, and runs the page's browser tests against it.
set -euo pipefail
binnacle=$(realpath "$1")
cd "$(dirname "$0")/.."

work=$(mktemp -d)
# A port that nobody listens at: the program scrapes its own address, so it has to be known beforehand.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}
port=${E2E_PORT:-$(free_port)}
"$binnacle" up --web.listen-address="127.0.0.1:$port" --storage.tsdb.path="$work/data" >"$work/log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

for _ in $(seq 300); do
    curl -fs "http://127.0.0.1:$port/-/ready" >/dev/null && break
    kill -0 "$pid" 2>/dev/null || { cat "$work/log"; exit 1; }
    sleep 0.1
done
curl -fsS "http://127.0.0.1:$port/-/ready" || { cat "$work/log"; exit 1; }

cd ui
BASE_URL="http://127.0.0.1:$port" npm run e2e
