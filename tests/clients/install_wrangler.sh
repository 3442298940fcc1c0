#!/bin/sh
# Installs wrangler, Cloudflare's command line, for tests/clients/test_wrangler.py. Does nothing if it is there.
# Usage: install_wrangler.sh [DIRECTORY], by default .tools/wrangler at the root of the project.
set -eu
VERSION=4.86.0 # the last one that runs on Node 20 and that the tests were written for
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=${1:-$root/.tools/wrangler}
if [ "$("$directory/node_modules/.bin/wrangler" --version 2>/dev/null || true)" = "$VERSION" ]; then
    exit 0
fi
mkdir -p "$directory"
# Without scripts: nothing that wrangler's vectorize commands use is built at installation.
npm install --prefix "$directory" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "wrangler@$VERSION"
