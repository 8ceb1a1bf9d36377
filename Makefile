# Every target sets up what it needs in .venv, from a lock with hashes. `make serve` and `make test` are the two to know.

.DEFAULT_GOAL := help
.PHONY: help serve test check format bench lock clean

# Where scripts/bootstrap puts the OpenMP runtime of the local model's engine, when the system has none.
export LD_LIBRARY_PATH := $(CURDIR)/.venv/lib$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))

help:
	@echo "make serve    run a server with a local model (ARGS='--port 9000' are handed on)"
	@echo "make test     all checks and all tests"
	@echo "make check    lint, format, types and import rules only"
	@echo "make format   write the format that the check asks for"
	@echo "make bench    measure, and print a table"
	@echo "make lock     write requirements/*.lock (scripts/lock --upgrade for newer versions)"
	@echo "make clean    remove .venv and caches, never data"

serve:
	@scripts/bootstrap serve
	@.venv/bin/antiphon models install
	@exec .venv/bin/antiphon serve $(ARGS)

test:
	@scripts/bootstrap test
	@.venv/bin/antiphon models install
	@$(MAKE) --no-print-directory check
	@echo "test: pytest"
	@.venv/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

check:
	@scripts/bootstrap test
	@echo "check: ruff check"
	@.venv/bin/ruff check --quiet .
	@echo "check: ruff format"
	@.venv/bin/ruff format --check --quiet . || { echo "not in format: run make format" >&2; exit 1; }
	@echo "check: mypy"
	@.venv/bin/mypy --no-error-summary
	@echo "check: lint-imports"
	@.venv/bin/lint-imports --no-logo >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

format:
	@scripts/bootstrap test
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

bench:
	@scripts/bootstrap test
	@.venv/bin/python -m bench $(ARGS)

lock:
	@scripts/lock

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find src tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
