# Every target makes what it needs: on a fresh Debian machine with python3 (3.11 or later), venv and make,
# nothing else has to be typed first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROGRAMS := obfs4proxy=obfs4proxy openssl=openssl nft=nftables ip=iproute2  # program=package
JOBS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 )))  # some tests only wait

.PHONY: demo system-packages test soak bench lint format cover docs clean

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ramson needs Python 3.11 or later (set PYTHON=…)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "making a virtual environment failed: on Debian, apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[node,dev]'
	@touch $@

demo: $(READY)  ## a real network on this machine: two people, twelve nodes, two of them killed
	$(BIN)/ramson demo

system-packages:  ## Debian's programs that some tests talk to: installed as root, otherwise named
	@for each in $(PROGRAMS); do \
		program=$${each%%=*}; package=$${each#*=}; \
		command -v $$program >/dev/null && continue; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$package >/dev/null; } \
				|| echo "$$package cannot be installed: tests with it are skipped" >&2; \
		else echo "$$program is missing: tests with it are skipped (make system-packages, as root)" >&2; fi; \
	done

test: $(READY) system-packages  ## every test, as the CI runs it
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal
	$(BIN)/python tests/vectors/run.py tests/vectors/*.json*

soak: $(READY)  ## the proofs of docs/proofs.md with more seeds, more kills and more time: about half an hour
	RAMSON_SOAK=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -rP tests/sim/test_storm.py tests/sim/test_blockade.py tests/e2e/test_features_simulated.py tests/e2e/test_swarm_under_fire.py tests/e2e/test_durability.py tests/servers/test_upload_machine.py tests/sim/test_simulated_files.py tests/messenger/test_client_files.py tests/messenger/test_convergence.py

bench: $(READY)  ## tables of CPU time per operation; nothing asserts a time
	$(BIN)/python bench/run.py

lint: $(READY)  ## style, types and the walls between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## pages and modules that are written from the source; tests fail when they are stale
	$(BIN)/python tools/write_sync.py
	$(BIN)/python tools/write_api.py > docs/api.md
	$(BIN)/python -m ramson.cli.reference > docs/cli.md

cover: $(READY)  ## line and branch coverage of the quick tests
	$(BIN)/python -m pytest -n $(JOBS) -m "not e2e and not sim" --cov --cov-report=term

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
