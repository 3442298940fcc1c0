#!/bin/sh
# Installs dbt with DuckDB from PyPI into a virtual environment of its own, unless it is already installed. Its
# dependencies conflict with those of Airflow. dbt-core 1.12 downloads a part from elsewhere, so 1.10 is used.
# Usage: install_dbt.sh [DIRECTORY]. The default is .tools/dbt in the root of the project.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
directory=${1:-$root/.tools/dbt}
if [ -x "$directory/bin/dbt" ]; then
    exit 0
fi
uv venv -q --clear --python "${PYTHON:-python3}" "$directory.new"
uv pip install -q --python "$directory.new/bin/python" dbt-core==1.10.23 dbt-duckdb==1.10.1 duckdb==1.4.5
rm -rf "$directory"
mv "$directory.new" "$directory"
sed -i "1s|.*|#!$directory/bin/python|" "$directory/bin/dbt"
