# make            build/tftpd and build/tftp
# make run        serve DIR (default: this directory) on PORT (default 6969), read-only, in the foreground
# make check      install what the tests need, then lint, unit, simulator and end-to-end tests
# make install    below PREFIX (/usr/local), with units for systemd; DESTDIR= for a package; make uninstall takes it away
# make deb        a Debian package, in build/
# make check-without  the end-to-end tests with each fast path and fence of the programs forced off
# make check-long as check, then more of it, and a whole system with systemd, from install to uninstall
# make bench      beside other servers and clients; ARGS= selects (see tests/bench)
#
# SAN=address,undefined builds everything apart, under build/san/. DEBUG=1, under build/debug/, has a server that names
# the system call which its sandbox does not let pass. CC=, CFLAGS=, LDFLAGS= as usual; a changed flag rebuilds what it
# touches.

SAN ?=
DEBUG ?=
DIR ?= .
PORT ?= 6969
ARGS ?=

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/tftp-suite
# systemd looks below /usr and /usr/local; for any other prefix its units belong to /etc.
UNITROOT := $(if $(filter /usr /usr/local,$(PREFIX)),$(PREFIX)/lib,/etc)
UNITDIR ?= $(UNITROOT)/systemd/system
SYSUSERSDIR ?= $(UNITROOT)/sysusers.d
TMPFILESDIR ?= $(UNITROOT)/tmpfiles.d
ENVFILE ?= /etc/default/tftpd

BUILD := build$(if $(SAN),/san)$(if $(DEBUG),/debug)
OBJ := $(BUILD)/obj

CFLAGS ?= -O2 -g
CSTD := -std=gnu11 -pthread -D_GNU_SOURCE -Icommon
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wno-sign-conversion
HARDEN := $(if $(SAN),,-fstack-protector-strong -D_FORTIFY_SOURCE=2) -fPIE
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all -DSANDBOX_OFF)
ALL_CFLAGS := $(CSTD) $(WARN) $(HARDEN) $(SANFLAGS) $(if $(DEBUG),-DSANDBOX_NAMES='"sandbox_names.h"' -I$(OBJ)) $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now $(SANFLAGS) $(LDFLAGS)

comma := ,
PURE := packet options retransmit netascii transfer transfer_send transfer_recv
COMMON := $(patsubst %.c,$(OBJ)/%.o,$(wildcard common/*.c))
TFTPD := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tftpd/*.c))
TFTP := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tftp/*.c))

.PHONY: all run check unit sim e2e lint setup bench clean install uninstall deb
.PHONY: fuzz fuzz-built check-long long check-without threads coverage covered analyse interop soak
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

ifdef DEBUG
$(OBJ)/tftpd/sandbox.o: $(OBJ)/sandbox_names.h
endif
$(OBJ)/sandbox_names.h:
	@mkdir -p $(@D)
	echo '#include <sys/syscall.h>' | $(CC) -E -dM - | \
	    awk '$$2 ~ /^SYS_[a-z]/ { printf "{%s, \"%s\"},\n", $$2, substr($$2, 5) }' >$@

run: $(BUILD)/tftpd $(BUILD)/tftp
	$(BUILD)/tftpd --port $(PORT) $(DIR)

# Tests.

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
$(BUILD)/tests/test_config: $(filter-out %/main.o,$(TFTPD))
$(BUILD)/tests/test_limit: $(filter-out %/main.o,$(TFTPD))
$(BUILD)/tests/test_access: $(OBJ)/tftpd/access.o
$(BUILD)/tests/test_pacer: $(OBJ)/tftpd/pacer.o
$(BUILD)/tests/test_remap: $(addprefix $(OBJ)/tftpd/,remap.o regex_cost.o)
$(BUILD)/tests/test_path: $(OBJ)/tftpd/path.o
$(BUILD)/tests/test_listing: $(OBJ)/tftpd/listing.o

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

# Modules of the programs that unit tests link by themselves.
$(BUILD)/tests/test_notify: $(OBJ)/tftpd/notify.o
$(BUILD)/tests/test_sandbox: $(OBJ)/tftpd/sandbox.o

$(TESTBINS): $(SHARED_TEST) $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TEST_LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libcommon.a $(CHECK_LIBS)

# A fuzz harness replays its corpus, unless libFuzzer brings its own main(): FUZZER=1, from `make fuzz`.
FUZZER ?=
$(BUILD)/tests/fuzz_uri: $(OBJ)/tftp/uri.o
$(BUILD)/tests/fuzz_access: $(OBJ)/tftpd/access.o
$(BUILD)/tests/fuzz_remap: $(addprefix $(OBJ)/tftpd/,remap.o regex_cost.o)
$(BUILD)/tests/fuzz_config: $(filter-out %/main.o,$(TFTPD)) $(OBJ)/tftp/words.o
$(BUILD)/tests/fuzz_form: $(addprefix $(OBJ)/tftp/,args.o args_value.o form.o jobs.o local.o uri.o words.o)
# Whole programs, with network and clock in the fuzzer's hands.
$(BUILD)/tests/fuzz_server: $(OBJ)/tests/fuzz/line.o $(filter-out %/main.o,$(TFTPD))
$(BUILD)/tests/fuzz_client: $(OBJ)/tests/fuzz/line.o $(filter-out %/main.o,$(TFTP))
LINE_WRAPPED := mono_now ppoll epoll_create1 socket bind connect getsockname recvfrom recvmsg recvmmsg send sendto sendmsg sendmmsg
$(BUILD)/tests/fuzz_server $(BUILD)/tests/fuzz_client: TEST_LDFLAGS := $(patsubst %,-Wl$(comma)--wrap=%,$(LINE_WRAPPED))
$(FUZZ): $(BUILD)/tests/%: $(OBJ)/tests/fuzz/%.o $(if $(FUZZER),,$(OBJ)/tests/fuzz/replay.o) $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(TEST_LDFLAGS) $(if $(FUZZER),-fsanitize=fuzzer) -o $@ $(filter %.o,$^) $(BUILD)/libcommon.a

# setup first, so that a fresh machine has what the build of the tests needs.
check: setup
	@$(MAKE) --no-print-directory all $(TESTBINS) $(FUZZ) $(FAULTLIB)
	@tests/run.sh $(BUILD) tests/lint.sh $(UNIT) $(SIM) $(FUZZ) $(WIRE) $(E2E)

# The end-to-end tests with fast paths and fences forced off, some of them together: a dash is between the words. The
# client knows those of the network only.
WITHOUT := gso gro gso-sendmmsg openat2-epoll seccomp-landlock
FORCED_tftpd = $(subst -, ,$(1))
FORCED_tftp = $(filter gso gro sendmmsg,$(FORCED_tftpd))
quoted = $(subst $() ,$(comma),$(patsubst %,"--without"$(comma)"%",$(1)))
define FORCED
$(OBJ)/tests/without/$(1)/%.o: tests/e2e/without.c $(BUILD)/flags Makefile
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) -DFORCED='$$(call quoted,$$(call FORCED_$$*,$(1)))' -c -o $$@ $$<
$(BUILD)/without/$(1)/tftpd: $(OBJ)/tests/without/$(1)/tftpd.o $(TFTPD) $(BUILD)/libcommon.a
$(BUILD)/without/$(1)/tftp: $(OBJ)/tests/without/$(1)/tftp.o $(TFTP) $(BUILD)/libcommon.a
$(BUILD)/without/$(1)/tftpd $(BUILD)/without/$(1)/tftp:
	@mkdir -p $$(@D) && ln -sfn ../../tests $$(@D)/tests
	$$(CC) $$(ALL_LDFLAGS) -Wl,--wrap=main -o $$@ $$^
without-$(1): all setup $(WIRE) $(FAULTLIB) $(BUILD)/without/$(1)/tftpd $(BUILD)/without/$(1)/tftp
	@tests/run.sh $(BUILD)/without/$(1) $(WIRE) $$(filter-out $$(NOT_WITHOUT),$(E2E))
endef
$(foreach w,$(WITHOUT),$(eval $(call FORCED,$(w))))
# What looks at the fences themselves, at single system calls, at what is installed; and doctor's own questions.
NOT_WITHOUT := $(patsubst %,tests/e2e/e2e_%.sh,sandbox faults install service doctor)

check-without: $(addprefix without-,$(WITHOUT))

# What has threads, under ThreadSanitizer: make BUILD=build/tsan SAN=thread threads
THREADED := $(BUILD)/tests/test_worker $(BUILD)/tests/wire_put tests/e2e/e2e_uploads.sh
threads: all setup $(THREADED) $(FAULTLIB)
	@TSAN_OPTIONS="$$TSAN_OPTIONS:exitcode=66" tests/run.sh $(BUILD) $(THREADED)

LONG := $(wildcard tests/e2e/long_*.sh)

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

# The long way: see tests/README.md.

T ?= 60
fuzz:
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined FUZZER=1 fuzz-built
	@tests/fuzz/run.sh build/fuzz $(T) $(ARGS)

fuzz-built: $(FUZZ)

# make check, then more of it: tens of thousands of seeds, every place for a failing system call, memcheck.
# It ends with a whole system with systemd, from install to uninstall.
check-long: check
	@$(MAKE) --no-print-directory long
	@tests/run.sh $(BUILD) $(LONG)

# The middle of it alone; SIM_RUNS= says how many seeds.
long: all $(TESTBINS) $(FAULTLIB)
	@tests/long.sh $(BUILD) $(UNIT) $(SIM) $(WIRE)

coverage: setup
	-@$(MAKE) --no-print-directory BUILD=build/cov CFLAGS='-O0 -g --coverage -DSANDBOX_OFF' LDFLAGS=--coverage \
	    COVERAGE=1 covered
	@tests/coverage.sh build/cov $(ARGS)

# Whoever the server runs as adds to the counters: they are there before it is, and anybody's.
covered: all $(TESTBINS) $(FUZZ) $(FAULTLIB)
	@find $(OBJ) -name '*.gcno' | sed 's/gcno$$/gcda/' | xargs sh -c 'rm -f "$$@" && touch "$$@" && chmod 666 "$$@"' -
	@tests/run.sh $(BUILD) $(UNIT) $(SIM) $(FUZZ) $(WIRE) $(E2E)

COVERAGE ?=
ifneq ($(COVERAGE),)
$(BUILD)/tftpd: $(OBJ)/tests/e2e/coverage.o
$(BUILD)/tftpd: private ALL_LDFLAGS += -Wl,--wrap=chroot -Wl,--wrap=_exit
endif

analyse:
	@tests/analyse.sh $(ARGS)

interop: all setup
	@tests/interop.sh $(BUILD) >tests/INTEROP.md.new && mv tests/INTEROP.md.new tests/INTEROP.md

soak: all setup $(FAULTLIB)
	@tests/soak.sh $(BUILD) $(ARGS)

# Installation.

SHARE := $(BUILD)/share
FILLED := $(SHARE)/tftpd.service $(SHARE)/tftpd-hpa.conf
COMPLETIONS := $(foreach p,tftpd tftp,$(SHARE)/$(p).bash $(SHARE)/$(p).zsh $(SHARE)/$(p).fish)

$(SHARE)/tftpd.service: tftpd/tftpd.service.in
$(SHARE)/tftpd-hpa.conf: packaging/tftpd-hpa.conf.in
# The paths may be others than last time.
.PHONY: $(FILLED)
$(FILLED):
	@mkdir -p $(@D)
	@sed 's|@SBINDIR@|$(SBINDIR)|g; s|@ENVFILE@|$(ENVFILE)|g' $< >$@

NAMES_tftpd := tftpd in.tftpd
NAMES_tftp := tftp
complete = $(BUILD)/$* --help | awk -v shell=$(1) -v program=$* -v names="$(NAMES_$*)" -f packaging/completions.awk >$@
$(SHARE)/%.bash: $(BUILD)/% packaging/completions.awk
	@mkdir -p $(@D)
	@$(call complete,bash)
$(SHARE)/%.zsh: $(BUILD)/% packaging/completions.awk
	@mkdir -p $(@D)
	@$(call complete,zsh)
$(SHARE)/%.fish: $(BUILD)/% packaging/completions.awk
	@mkdir -p $(@D)
	@$(call complete,fish)

# What is installed: mode, file here (or =TARGET of a link), place there. install and uninstall walk the same list.
define MANIFEST
755 $(BUILD)/tftpd $(SBINDIR)/tftpd
755 $(BUILD)/tftp $(BINDIR)/tftp
link tftpd $(SBINDIR)/in.tftpd
644 man/tftp.1 $(MANDIR)/man1/tftp.1
644 man/tftpd.8 $(MANDIR)/man8/tftpd.8
link tftpd.8 $(MANDIR)/man8/in.tftpd.8
644 $(SHARE)/tftpd.service $(UNITDIR)/tftpd.service
644 tftpd/tftpd.socket $(UNITDIR)/tftpd.socket
644 packaging/tftpd.sysusers $(SYSUSERSDIR)/tftpd.conf
644 packaging/tftpd.tmpfiles $(TMPFILESDIR)/tftpd.conf
config packaging/tftpd.default $(ENVFILE)
644 $(SHARE)/tftpd-hpa.conf $(DOCDIR)/tftpd-hpa.conf
644 README.md $(DOCDIR)/README.md
644 $(SHARE)/tftpd.bash $(DATADIR)/bash-completion/completions/tftpd
link tftpd $(DATADIR)/bash-completion/completions/in.tftpd
644 $(SHARE)/tftp.bash $(DATADIR)/bash-completion/completions/tftp
644 $(SHARE)/tftpd.zsh $(DATADIR)/zsh/site-functions/_tftpd
644 $(SHARE)/tftp.zsh $(DATADIR)/zsh/site-functions/_tftp
644 $(SHARE)/tftpd.fish $(DATADIR)/fish/vendor_completions.d/tftpd.fish
link tftpd.fish $(DATADIR)/fish/vendor_completions.d/in.tftpd.fish
644 $(SHARE)/tftp.fish $(DATADIR)/fish/vendor_completions.d/tftp.fish
endef
export MANIFEST

install: all $(FILLED) $(COMPLETIONS)
	@DESTDIR='$(DESTDIR)' packaging/install.sh install

uninstall:
	@DESTDIR='$(DESTDIR)' packaging/install.sh uninstall

deb: all
	@packaging/deb.sh $(BUILD)

BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
$(BENCH): $(BUILD)/bench/%: $(OBJ)/tests/bench/%.o $(BUILD)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^

bench: all $(BENCH)
	@tests/bench/bench.sh $(BUILD) $(ARGS)

clean:
	rm -rf build

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
