# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 2

.PHONY: install demo studies test lint bench docs clean
install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[onnx]'
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[onnx,test,lint,docs]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps torchattacks
	touch $@

demo: $(VENV)/.installed
	$(BIN)/aseptic demo

studies: $(VENV)/.installed
	for name in nwadike2021 matsuo2021 fiba2022; do $(BIN)/aseptic study run $$name --scale smoke --out runs/$$name --resume || exit 1; done

test: $(VENV)/.tested
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-fail-under=95

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.tested
	for file in benchmarks/bench_*.py benchmarks/write_page.py; do $(BIN)/python $$file || exit 1; done

docs: $(VENV)/.tested
	$(BIN)/sphinx-build -W -n -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache
