#!/bin/sh
# Installs the Node clients of tests/clients: Cloudflare's SDK and Mastra's vector store. Does nothing if they are installed.
# Usage: install_node_clients.sh [DIRECTORY]. The default directory is .tools/node_clients at the root of the project.
set -eu
CLOUDFLARE=7.3.0
MASTRA=0.11.17
MASTRA_CORE=0.24.9 # The store extends a class of this package, and accepts versions below 0.25.
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=${1:-$root/.tools/node_clients}
installed() { grep -qs "\"version\": \"$2\"" "$directory/node_modules/$1/package.json"; }
if installed cloudflare $CLOUDFLARE && installed @mastra/vectorize $MASTRA && installed @mastra/core $MASTRA_CORE; then
    exit 0
fi
mkdir -p "$directory"
npm install --prefix "$directory" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
    "cloudflare@$CLOUDFLARE" "@mastra/vectorize@$MASTRA" "@mastra/core@$MASTRA_CORE"
