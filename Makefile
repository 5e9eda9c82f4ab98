# wstyped: build, test, run.  `make help` lists the targets.
#
# MODE=release|debug|asan|tsan|faults|fuzz   how to compile; each has its own folder under build/
# CC=gcc|clang      DEV=1 turns warnings into errors      V=1 shows the commands

MODE ?= release
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
COMPILER := $(if $(findstring clang,$(CC)),clang,gcc)
BUILD_ROOT ?= build
BUILD := $(BUILD_ROOT)/$(MODE)$(if $(filter clang,$(COMPILER)),-clang)

ifeq ($(filter $(MODE),release debug asan tsan faults fuzz),)
$(error MODE=$(MODE) is not known; use release, debug, asan, tsan, faults or fuzz)
endif

comma := ,
PACKAGES := libmicrohttpd libcurl jansson sqlite3 libcrypto libmongoc-1.0

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wwrite-strings -Wcast-qual -Wundef -Wvla -Wformat=2 \
	-Wimplicit-fallthrough -Wnull-dereference
WARNINGS += $(if $(filter gcc,$(COMPILER)),-Wlogical-op -Wduplicated-cond -Wjump-misses-init)
WARNINGS += $(if $(DEV),-Werror)

FLAGS_release := -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
FLAGS_debug := -O0 -g
FLAGS_faults := -O1 -g -DWSTYPED_FAULTS=1
FLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DWSTYPED_FAULTS=1
FLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
FLAGS_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# third-party headers are not ours to warn about
PKG_CFLAGS = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null))
PKG_LIBS = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
CFLAGS_ALL = -std=gnu17 -D_GNU_SOURCE -I. -I$(BUILD) $(PKG_CFLAGS) -fno-common $(WARNINGS) $(FLAGS_$(MODE)) $(CFLAGS)
LDFLAGS_ALL = $(filter -fsanitize%,$(subst fuzzer-no-link$(comma),,$(FLAGS_$(MODE)))) $(LDFLAGS)
LIBS = $(PKG_LIBS) -lpthread -lm
Q := $(if $(V),,@)

# One archive per half: a test of dws/ that reaches into tws/ does not link.
SHARED_SRC := $(wildcard shared/base/*.c shared/net/*.c shared/rpc/*.c)
TWS_SRC := $(wildcard tws/*.c tws/kidl/*.c tws/store/*.c tws/registry/*.c)
DWS_SRC := $(wildcard dws/*.c dws/validate/*.c)
UNIT_SRC := $(wildcard test/unit/test_*.c)
FUZZ_SRC := $(wildcard test/fuzz/fuzz_*.c)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
UNIT_BIN := $(patsubst test/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
FUZZ_BIN := $(patsubst test/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
BENCH_BIN := $(patsubst test/bench/%.c,$(BUILD)/bench/%,$(wildcard test/bench/bench_*.c))

.PHONY: all
all: $(BUILD)/wstyped $(BUILD)/libwstyped-check.a

$(BUILD)/wstyped: $(call obj,main.c) $(BUILD)/tws.a $(BUILD)/dws.a $(BUILD)/shared.a
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/shared.a: $(call obj,$(SHARED_SRC))
$(BUILD)/tws.a: $(call obj,$(TWS_SRC))
$(BUILD)/dws.a: $(call obj,$(DWS_SRC))
$(BUILD)/%.a:
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# schemas/x goes into the binary as the C string in generated/x.h
$(BUILD)/generated/%.h: schemas/%
	@mkdir -p $(@D)
	$(Q)sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' $< >$@
$(BUILD)/tws/store/store_sqlite.o: $(BUILD)/generated/sqlite.sql.h
$(BUILD)/tws/store/store_mongo.o: $(BUILD)/generated/mongo_indexes.json.h

# A unit test links the archive of its half only: test_tws_x, test_dws_x, or shared alone.
$(BUILD)/unit/test_tws_%: $(BUILD)/test/unit/test_tws_%.o $(BUILD)/tws.a $(BUILD)/shared.a
	$(link_unit)
$(BUILD)/unit/test_dws_%: $(BUILD)/test/unit/test_dws_%.o $(BUILD)/dws.a $(BUILD)/shared.a
	$(link_unit)
$(BUILD)/unit/test_%: $(BUILD)/test/unit/test_%.o $(BUILD)/shared.a
	$(link_unit)
define link_unit
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lcmocka
endef

# Fuzzers: MODE=fuzz CC=clang.  Each links what it needs; dictionaries and seeds stand beside the sources.
$(BUILD)/fuzz/%: $(BUILD)/test/fuzz/%.o $(BUILD)/tws.a $(BUILD)/dws.a $(BUILD)/shared.a
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS)

# The differential test: random schemas and objects, and the simple checker that the streaming one is compared with.
DIFFERENTIAL := $(call obj,$(wildcard test/differential/*.c))
$(BUILD)/unit/test_dws_differential $(BUILD)/unit/test_dws_canonical $(BUILD)/fuzz/fuzz_canonical: $(DIFFERENTIAL)

# The type checker as a library for others; dws/validate/wstyped_check.h is its one header.  One test is linked as others do.
CHECK_BASE := arena base digest double_print double_text err json json_text json_tok sbuf utf uth
$(BUILD)/libwstyped-check.a: $(call obj,$(wildcard dws/validate/*.c) $(CHECK_BASE:%=shared/base/%.c))

$(BUILD)/unit/test_check_library: $(BUILD)/test/unit/test_check_library.o $(BUILD)/libwstyped-check.a
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcrypto -lm -lcmocka

# the JSON parser that the checker is compared with
$(BUILD)/bench/bench_check: LIBS += -lyajl

# Benchmarks of parts: test/bench/bench_x.c
$(BUILD)/bench/%: $(BUILD)/test/bench/%.o $(BUILD)/tws.a $(BUILD)/dws.a $(BUILD)/shared.a
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# ---- what a person runs ----------------------------------------------------------------------------------------

.PHONY: help deps demo run test check unit integ chaos fuzz bench lint format install clean
help:
	@sed -n 's/^#: //p' Makefile

#: make            build build/release/wstyped
#: make deps       install what is needed (Debian packages; as root or through sudo)
#: make demo       the main job on a TWS and two DWS, as a story (installs, builds, runs)
#: make run        a TWS and a DWS in the foreground, with URLs, tokens and calls to try
#: make test       all tests (installs, builds, runs); MODE=asan or MODE=tsan runs them with a sanitizer
#: make unit       the unit tests alone      make integ ONLY=loops   some integration tests
#: make chaos      the proofs of safety at full length, on real MongoDB servers (under ten minutes)
#: make lint       layers, headers, tables, format
#: make fuzz       each fuzzer for FUZZ_SECONDS (default 30)
#: make bench      benchmarks; each prints ratios
#: make format     clang-format over the sources
#: make install    to $(DESTDIR)$(PREFIX)
#: make clean      remove build/
deps:
	@test/tools/deps

.PHONY: units-built
units-built: $(UNIT_BIN)
unit: $(UNIT_BIN)
	@test/run.py unit $(BUILD)

# the crash tests need fault points; sanitizer builds have them compiled in
FAULTS_BINARY := $(if $(filter asan,$(MODE)),$(BUILD)/wstyped,$(BUILD_ROOT)/faults/wstyped)
INTEG_ENV = WSTYPED=$(BUILD)/wstyped WSTYPED_FAULTS_BINARY=$(FAULTS_BINARY)
integ: all
	$(if $(filter asan,$(MODE)),,@$(MAKE) --no-print-directory MODE=faults all)
	@$(INTEG_ENV) test/run.py integ $(ONLY)

# what single tests need besides: the mongod download, the balancers, a clock that can be turned
TEST_PACKAGES := python3-pip libcurl4 libssl3 nginx-light haproxy libfaketime
test:
	@test/tools/deps $(TEST_PACKAGES)
	@$(MAKE) --no-print-directory test-here
.PHONY: test-here
test-here: all $(UNIT_BIN)
	$(if $(filter asan,$(MODE)),,@$(MAKE) --no-print-directory MODE=faults all)
	@$(INTEG_ENV) test/run.py all $(BUILD) $(ONLY)
check: test

chaos: deps
	@$(MAKE) --no-print-directory all
	$(if $(filter asan,$(MODE)),,@$(MAKE) --no-print-directory MODE=faults all)
	@$(INTEG_ENV) test/chaos/run $(ONLY)

demo: deps
	@$(MAKE) --no-print-directory all
	@WSTYPED=$(BUILD)/wstyped test/demo/demo.py

run: deps
	@$(MAKE) --no-print-directory all
	@WSTYPED=$(BUILD)/wstyped test/demo/run.py

FUZZ_SECONDS ?= 30
fuzz:
	@$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzz-here
.PHONY: fuzz-here
fuzz-here: $(FUZZ_BIN)
	@test/fuzz/run $(BUILD) $(FUZZ_SECONDS)

bench: deps
	@test/tools/deps libyajl-dev
	@$(MAKE) --no-print-directory all bench-parts
	@WSTYPED=$(BUILD)/wstyped test/bench/run $(ONLY)
.PHONY: bench-parts
bench-parts: $(BENCH_BIN)
	@set -e; for b in $^; do echo "$$(basename $$b)"; $$b; done

SOURCES = $(shell git ls-files '*.c' '*.h')
lint: all
	@test/lint/lint.py $(BUILD)/wstyped
	@clang-format --dry-run -Werror $(SOURCES)
format:
	clang-format -i $(SOURCES)

PREFIX ?= /usr/local
install: all
	install -D -m 755 $(BUILD)/wstyped $(DESTDIR)$(PREFIX)/bin/wstyped
	install -D -m 644 $(BUILD)/libwstyped-check.a $(DESTDIR)$(PREFIX)/lib/libwstyped-check.a
	install -D -m 644 dws/validate/wstyped_check.h $(DESTDIR)$(PREFIX)/include/wstyped_check.h
	install -D -m 644 deploy.cfg.example $(DESTDIR)$(PREFIX)/share/doc/wstyped/deploy.cfg.example

clean:
	rm -rf $(BUILD_ROOT)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.SECONDARY:
