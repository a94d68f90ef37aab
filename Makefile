# SPDX-License-Identifier: GPL-2.0-or-later
# Two commands do everything on a fresh Debian machine: `make demo` and `make test`.

PYTHON := /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
# What each package is for: docs/dependencies.md
PACKAGES := python3-venv python3-nftables python3-lxml nftables iptables iproute2 \
	iputils-ping util-linux dnsmasq-base curl procps netbase iperf3 socat \
	miniupnpc miniupnpd-nftables natpmpc python3-libtorrent \
	python3-pyqt6 xvfb xdotool ansible-core mandoc zsh \
	debhelper dh-python dpkg-dev rpm mmdebstrap uidmap gcc libc6-dev python3-dev
# Salt comes with many packages in versions of its own: it gets an environment of its
# own, inside the other one, where labs see it too.
SALT := salt>=3007
INSTALLED := $(VENV)/.installed

# Of `make fuzz`, for all decoders together.
SECONDS ?= 60

.PHONY: demo desktop test test-iptables test-beside test-python lint types unit fuzz soak bench \
	screenshots languages setup packages test-packages clean
.DEFAULT_GOAL := demo

demo: setup
	@$(BIN)/qubes-lab demo

# The windows of a lab's dom0 on the screen that this is run from.
desktop: setup
	@$(BIN)/qubes-lab desktop --name desktop

test: lint types unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Labs wait more than they work, so several run side by side.
unit: setup
	$(BIN)/pytest -n 3 --dist loadfile -m "not alone and not clean_root"
	$(BIN)/pytest -m alone

# All that sends packets, in qubes that have iptables instead of nftables.
test-iptables: setup
	LAB_BACKEND=iptables $(BIN)/pytest -n 3 --dist loadfile tests/iptables \
		tests/agent/test_iptables_packets.py tests/agent/test_mapped_packets.py \
		tests/lab

# All labs beside a stock qubesd; `make test` has the packet tests in both settings.
test-beside: setup
	SETTING=beside $(BIN)/pytest -n 3 --dist loadfile -m "lab and not alone and not clean_root"
	SETTING=beside $(BIN)/pytest -m "lab and alone"

# All but labs with another Python, which dom0 has or will have: OTHER=python3.13. What
# distributions have for it comes from PyPI here, but for nftables, which is not there.
OTHER ?= python3.13
test-python: setup
	$(OTHER) -m venv build/python
	build/python/bin/pip install -q --disable-pip-version-check '.[test]' lxml PyQt6
	mkdir -p build/modules
	ln -sfn $$($(PYTHON) -c 'import nftables as n; print(n.__path__[0])') \
		build/modules/nftables
	PYTHONPATH=$(CURDIR)/src:$(CURDIR)/build/modules QT_QPA_PLATFORM=offscreen build/python/bin/pytest \
		-n 2 -m "not lab and not alone and not clean_root" $(addprefix tests/, \
		model plan nft iptables portmap qubes cli daemon agent gateway gui fleet)

# With atheris where it is installed (pip install -e '.[fuzz]'), without it otherwise.
fuzz: setup
	$(BIN)/python -m fuzz --seconds $(SECONDS)

# Half an hour of random operations in labs: OPS of them, and SEED to have them again.
soak: setup
	OPS=$(OPS) SEED=$(SEED) $(BIN)/python -u -m tests.soak.run

# All parts, or PARTS=open,connect; the figures of the others are kept in build/bench.
bench: setup
	$(BIN)/python -u -m bench --parts "$(PARTS)"

# Pictures of every window, for the documentation.
screenshots: setup
	$(BIN)/python -m tests.gui.screenshots docs/screenshots

# New texts come into the files of all languages, to be translated there.
languages: setup
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m tests.gui.texts

# Debian's and Fedora's, into build/packages.
packages: setup
	packaging/build.sh build/packages

# In roots made of nothing but the packages and what they depend on, which come from
# where this machine has its own from: this needs the network.
test-packages: setup
	$(BIN)/pytest -m clean_root tests/packaging

setup: $(INSTALLED)

# Root is asked for only where a package is missing, and never at a second run.
$(INSTALLED): pyproject.toml Makefile
	@missing=$$(for package in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null \
		| grep -q 'ok installed' || echo $$package; done); \
	if [ -n "$$missing" ]; then \
		echo "Installing system packages:" $$missing; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -q && \
		$$sudo env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -q --no-install-recommends $$missing; \
	fi
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	$(PYTHON) -m venv $(VENV)/salt
	$(VENV)/salt/bin/pip install -q --disable-pip-version-check '$(SALT)'
	@touch $@

clean:
	rm -rf $(VENV) build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
