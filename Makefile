# make            build/tftpd and build/tftp
# make run        serve DIR (default: this directory) on PORT (default 6969), read-only, in the foreground
# make check      install what the tests need, then lint, unit, simulator and end-to-end tests
# make bench      beside other servers and clients; ARGS= selects (see tests/bench)
#
# SAN=address,undefined builds everything apart, under build/san/. CC=, CFLAGS=, LDFLAGS= as usual; a changed flag
# rebuilds what it touches.

SAN ?=
DIR ?= .
PORT ?= 6969
ARGS ?=

BUILD := build$(if $(SAN),/san)
OBJ := $(BUILD)/obj

CFLAGS ?= -O2 -g
CSTD := -std=gnu11 -pthread -D_GNU_SOURCE -Icommon
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion
HARDEN := $(if $(SAN),,-fstack-protector-strong -D_FORTIFY_SOURCE=2) -fPIE
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
ALL_CFLAGS := $(CSTD) $(WARN) $(HARDEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now $(SANFLAGS) $(LDFLAGS)

comma := ,
PURE := packet options retransmit netascii transfer transfer_send transfer_recv
COMMON := $(patsubst %.c,$(OBJ)/%.o,$(wildcard common/*.c))
TFTPD := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tftpd/*.c))
TFTP := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tftp/*.c))

.PHONY: all run check unit sim e2e lint setup bench clean
.PHONY: fuzz fuzz-built check-long coverage covered analyse interop soak
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/tftpd $(BUILD)/tftp

# The flags of the last build, kept so that other flags rebuild. Written only when they differ.
FLAGS := $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)
ifneq ($(shell cat $(BUILD)/flags 2>/dev/null),$(strip $(FLAGS)))
$(shell mkdir -p $(BUILD) && printf '%s\n' '$(strip $(FLAGS))' >$(BUILD)/flags)
endif

$(BUILD)/libcommon.a: $(COMMON)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/tftpd: $(TFTPD) $(BUILD)/libcommon.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^

$(BUILD)/tftp: $(TFTP) $(BUILD)/libcommon.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^

$(OBJ)/%.o: %.c $(BUILD)/flags Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(EXTRA_CFLAGS) -MMD -MP -c -o $@ $<

run: $(BUILD)/tftpd
	$(BUILD)/tftpd --port $(PORT) $(DIR)

# ---- tests -------------------------------------------------------------------------------------------------------

UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
SIM := $(patsubst tests/sim/%.c,$(BUILD)/tests/%,$(wildcard tests/sim/sim_*.c))
WIRE := $(patsubst tests/e2e/%.c,$(BUILD)/tests/%,$(wildcard tests/e2e/wire_*.c))
E2E := $(wildcard tests/e2e/e2e_*.sh)
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
TESTBINS := $(UNIT) $(SIM) $(WIRE)
SHARED_TEST := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/lib/fault_%,$(wildcard tests/lib/*.c)))

# Modules of the programs that unit tests link by themselves.
$(BUILD)/tests/test_uri: $(OBJ)/tftp/uri.o
$(BUILD)/tests/test_words: $(OBJ)/tftp/words.o
$(BUILD)/tests/test_progress: $(OBJ)/tftp/progress.o
$(BUILD)/tests/test_trace: $(OBJ)/tftp/trace.o
$(BUILD)/tests/test_form: $(addprefix $(OBJ)/tftp/,args.o args_value.o form.o jobs.o local.o uri.o)
$(BUILD)/tests/test_access: $(OBJ)/tftpd/access.o
$(BUILD)/tests/test_pacer: $(OBJ)/tftpd/pacer.o
$(BUILD)/tests/test_remap: $(OBJ)/tftpd/remap.o
$(BUILD)/tests/test_path: $(OBJ)/tftpd/path.o

$(BUILD)/tests/test_faults_server: $(filter-out %/main.o,$(TFTPD))
$(BUILD)/tests/test_faults_client: $(filter-out %/main.o,$(TFTP))
FAULTS := $(filter %/test_faults %/test_faults_server %/test_faults_client,$(UNIT))
$(FAULTS): $(OBJ)/tests/lib/fault_alloc.o
WRAPPED := malloc calloc realloc strdup asprintf __asprintf_chk free mmap
$(FAULTS): TEST_LDFLAGS := $(patsubst %,-Wl$(comma)--wrap=%,$(WRAPPED))

# Goes before the C library in e2e_faults.sh, so it is no part of any program.
FAULTLIB := $(BUILD)/tests/fault_preload.so
$(FAULTLIB): tests/lib/fault_preload.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(WARN) -O2 -fPIC -shared -o $@ $<

# Only the tests link Check; pkg-config knows what else it needs. Asked when a test is built, not before.
CHECK_LIBS = $(shell pkg-config --libs check)

$(OBJ)/tests/%.o: EXTRA_CFLAGS = -Itests/lib -Itftpd -Itftp

$(UNIT): $(BUILD)/tests/%: $(OBJ)/tests/unit/%.o
$(SIM): $(BUILD)/tests/%: $(OBJ)/tests/sim/%.o
$(WIRE): $(BUILD)/tests/%: $(OBJ)/tests/e2e/%.o
$(TESTBINS): $(SHARED_TEST) $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TEST_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libcommon.a $(CHECK_LIBS)

# A fuzz harness replays its corpus, unless libFuzzer brings its own main(): FUZZER=1, from `make fuzz`.
FUZZER ?=
$(BUILD)/tests/fuzz_uri: $(OBJ)/tftp/uri.o
$(BUILD)/tests/fuzz_remap: $(OBJ)/tftpd/remap.o
$(BUILD)/tests/fuzz_form: $(addprefix $(OBJ)/tftp/,args.o args_value.o form.o jobs.o local.o uri.o words.o)
$(FUZZ): $(BUILD)/tests/%: $(OBJ)/tests/fuzz/%.o $(if $(FUZZER),,$(OBJ)/tests/fuzz/replay.o) $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(if $(FUZZER),-fsanitize=fuzzer) -o $@ $(filter %.o,$^) $(BUILD)/libcommon.a

# setup first, so that a fresh machine has what the build of the tests needs.
check: setup
	@$(MAKE) --no-print-directory all $(TESTBINS) $(FUZZ) $(FAULTLIB)
	@tests/run.sh $(BUILD) tests/lint.sh $(UNIT) $(SIM) $(FUZZ) $(WIRE) $(E2E)

setup:
	@tests/setup.sh

unit: $(UNIT)
	@tests/run.sh $(BUILD) $(UNIT)

sim: $(SIM)
	@tests/run.sh $(BUILD) $(SIM)

e2e: all $(WIRE) $(FAULTLIB)
	@tests/run.sh $(BUILD) $(WIRE) $(E2E)

lint: all
	@PURE='$(PURE)' tests/lint.sh $(BUILD)

# ---- the long way: see tests/README.md ----------------------------------------------------------------------------

T ?= 60
fuzz:
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined FUZZER=1 fuzz-built
	@tests/fuzz/run.sh build/fuzz $(T) $(ARGS)

fuzz-built: $(FUZZ)

# make check, then more of it: tens of thousands of seeds, every place for a failing system call, memcheck.
check-long: check
	@tests/long.sh $(BUILD) $(UNIT) $(SIM) $(WIRE)

coverage: setup
	-@$(MAKE) --no-print-directory BUILD=build/cov CFLAGS='-O0 -g --coverage' LDFLAGS=--coverage covered
	@tests/coverage.sh build/cov $(ARGS)

covered: all $(TESTBINS) $(FUZZ) $(FAULTLIB)
	@tests/run.sh $(BUILD) $(UNIT) $(SIM) $(FUZZ) $(WIRE) $(E2E)

analyse:
	@tests/analyse.sh $(ARGS)

interop: all setup
	@tests/interop.sh $(BUILD) >tests/INTEROP.md.new && mv tests/INTEROP.md.new tests/INTEROP.md

soak: all setup $(FAULTLIB)
	@tests/soak.sh $(BUILD) $(ARGS)

BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
$(BENCH): $(BUILD)/bench/%: $(OBJ)/tests/bench/%.o $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^

bench: all $(BENCH)
	@tests/bench/bench.sh $(BUILD) $(ARGS)

clean:
	rm -rf build

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
