#!/bin/sh
# Installs wrangler, Cloudflare's command line, for tests/clients/test_wrangler.py, unless it is already installed.
# Usage: install_wrangler.sh [DIRECTORY]. The default is .tools/wrangler in the root of the project.
set -eu
VERSION=4.86.0 # The last version that runs on Node 20. The tests were written for it.
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=${1:-$root/.tools/wrangler}
if [ "$("$directory/node_modules/.bin/wrangler" --version 2>/dev/null || true)" = "$VERSION" ]; then
    exit 0
fi
mkdir -p "$directory"
# Installation scripts are not needed, because the vectorize commands use no package that must be built.
npm install --prefix "$directory" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "wrangler@$VERSION"
