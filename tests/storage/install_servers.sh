#!/bin/sh
# Installs the third-party servers of tests/storage: s3rver (S3) and Azurite (Azure). Does nothing if they are installed.
# Usage: install_servers.sh [DIRECTORY]. The default directory is .tools/storage at the root of the project.
set -eu
S3RVER=5.0.0
AZURITE=3.37.0
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=${1:-$root/.tools/storage}
if grep -qs "\"version\": \"$S3RVER\"" "$directory/node_modules/@20minutes/s3rver/package.json" \
    && grep -qs "\"version\": \"$AZURITE\"" "$directory/node_modules/azurite/package.json"; then
    exit 0
fi
mkdir -p "$directory"
npm install --prefix "$directory" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
    "@20minutes/s3rver@$S3RVER" "azurite@$AZURITE"
