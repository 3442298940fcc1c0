#!/bin/sh
# Installs TypeScript and the types of Cloudflare's Workers for test_worker.py, unless they are already installed.
set -eu
VERSION="typescript@5.9.3 @cloudflare/workers-types@5.20261117.1"
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=$root/.tools/workers_types
if [ "$(cat "$directory/installed" 2>/dev/null || true)" = "$VERSION" ]; then
    exit 0
fi
mkdir -p "$directory"
# shellcheck disable=SC2086
npm install --prefix "$directory" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error $VERSION
echo "$VERSION" >"$directory/installed"
