# The whole set-up: `make run` and `make test`. Each target first installs what is missing, then just works.

SWIFT ?= swift
# Cross-module optimisation is for the product's own builds; as a package flag it would bar apps from depending on it.
RELEASE := -c release -Xswiftc -cross-module-optimization
FORMAT := swift format
LINTED := Package.swift Sources Tests Benchmarks Fuzz

LIBRARIES := libpq-dev libssl-dev libsystemd-dev libsqlite3-dev
# What tests make certificates with, let system calls fail with, make file systems with, and set clocks wrong with.
TEST_TOOLS := openssl strace e2fsprogs libfaketime
BENCH_TOOLS := redis-server

# The simulator has a build of its own: nothing else is ever compiled with mutants.
SIMULATOR := -Xswiftc -DMUTANTS --scratch-path .build/simulation --product topgun-sim
SIM_SEEDS ?= 1..2000
CORE_SEEDS ?= 1..2000
MUTANT_SEEDS ?= 1..300

.PHONY: run test demo bench bench-micro bench-micro-thresholds sim lint format wasm fuzz sanitize deps deps-test deps-bench clean

run: deps
	$(SWIFT) build $(RELEASE) --product topgund
	$$($(SWIFT) build $(RELEASE) --show-bin-path)/topgund $(ARGS)

test: deps deps-test
	$(SWIFT) build --build-tests
	# One test at a time: those that start real servers and kill them must not wait for each other's processors.
	$(SWIFT) test --skip-build --no-parallel $(if $(FILTER),--filter $(FILTER))
	$(MAKE) wasm
	$(MAKE) sim

demo: deps
	$(SWIFT) build --product topgund
	$(SWIFT) build --product topgun-demo
	$$($(SWIFT) build --show-bin-path)/topgun-demo

bench: deps deps-bench
	$(SWIFT) build $(RELEASE) --product topgund
	$(SWIFT) build $(RELEASE) --product topgun-bench
	$$($(SWIFT) build $(RELEASE) --show-bin-path)/topgun-bench $(ARGS)

# Whole worlds from a number each, then the cores alone, the controls, what was reached, and every mutant, which must be
# found. A failing seed is printed with how to run it again. SIM_SEEDS=1..100000 for a long run.
sim: deps
	$(SWIFT) build $(RELEASE) $(SIMULATOR)
	sim=$$($(SWIFT) build $(RELEASE) $(SIMULATOR) --show-bin-path)/topgun-sim && \
	$$sim run --seeds $(SIM_SEEDS) && $$sim cores --seeds $(CORE_SEEDS) && $$sim run --seeds 1..20 --without-faults && \
	$$sim reach --seeds $(MUTANT_SEEDS) && $$sim mutants --seeds $(MUTANT_SEEDS)

# The replica as WebAssembly, and a test in Node that uses it.
wasm:
	@command -v node >/dev/null 2>&1 || Deploy/install-packages nodejs
	Wasm/build.sh .build/wasm
	node Wasm/smoke.mjs .build/wasm/topgun.wasm Tests/Vectors

# The single steps of the hot path. Their allocations must be as in Benchmarks/Micro/Thresholds; after a change with a
# reason, `make bench-micro-thresholds` writes those anew.
MICRO := cd Benchmarks/Micro && $(SWIFT) package --scratch-path $(CURDIR)/.build/micro --disable-sandbox \
	--allow-writing-to-package-directory benchmark

bench-micro:
	$(MICRO) --no-progress
	$(MICRO) thresholds check --no-progress --metric AllocationsPer1024

bench-micro-thresholds:
	$(MICRO) thresholds update --no-progress --metric AllocationsPer1024

# Hostile input for everything that reads it: SECONDS seconds for each target, or for TARGET alone.
fuzz: deps
	Fuzz/run.sh $(or $(SECONDS),60) $(TARGET)

# The tests on real sockets and threads under a sanitizer: thread finds data races; SANITIZER=address what was freed or
# is not there. Each has a build of its own.
SANITIZER ?= thread

sanitize: deps deps-test
	Fuzz/sanitize.sh $(SANITIZER) "$(FILTER)"

lint:
	$(FORMAT) lint --configuration .swift-format --strict --parallel --recursive $(LINTED)

format:
	$(FORMAT) format --configuration .swift-format --in-place --parallel --recursive $(LINTED)

deps:
	@Deploy/install-packages $(LIBRARIES)

deps-test:
	@Deploy/install-packages $(TEST_TOOLS)

deps-bench:
	@Deploy/install-packages $(BENCH_TOOLS)

clean:
	$(SWIFT) package clean
