#!/bin/sh
# Installs cloudflare-vectorize from PyPI with its dependencies into a folder of its own, unless it is already installed.
# It needs urllib3 below 2, which Airflow and the other clients do not work with.
# Usage: install_cloudflare_vectorize.sh [DIRECTORY]. The default is .tools/cloudflare_vectorize in the root of the project.
set -eu
VERSION=0.1.2
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=${1:-$root/.tools/cloudflare_vectorize}
if [ -f "$directory/cloudflare_vectorize-$VERSION.dist-info/METADATA" ]; then
    exit 0
fi
uv pip install -q --target "$directory" "cloudflare-vectorize==$VERSION"
