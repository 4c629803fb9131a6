# tapetum: one makefile, no configure step. GNU make 3.81 or newer.
#   make            library and command in build/release
#   make check      every test        make demo    the experiment on the embedded model
#   make lint       style and analysis     make fuzz    one minute per parser (clang)
#   make bench      speed             make install PREFIX=/usr/local [DESTDIR=...]
#   make SAN=address,undefined check       the same suite under sanitizers
# A variant is named by what changes code, so switching never needs a clean.
# SRC and B may be set to build part of the tree elsewhere.

VERSION := $(shell cat VERSION)
SOVERSION := 0
PREFIX  ?= /usr/local
DESTDIR ?=
SAN     ?=
DEBUG   ?=
comma   := ,
CC_NAME := $(filter-out cc gcc,$(notdir $(firstword $(CC))))
VARIANT ?= $(if $(SAN),san-$(subst $(comma),-,$(SAN)),$(if $(DEBUG),debug,release))$(CC_NAME:%=-%)
B       ?= build/$(VARIANT)

PKGS   := jansson libcyaml libpcre2-8 libutf8proc libzip zlib libjpeg libpng libtiff-4 \
          matio sqlite3 libcrypto libxxhash cairo
CSTD   := -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64
WARN   := -Wall -Wextra -Wshadow -Wconversion -Wfloat-conversion -Wdouble-promotion \
          -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla \
          -Wformat=2 -Wundef -Wcast-qual -Wswitch-enum
WERROR ?=
CFLAGS ?= $(if $(DEBUG),-O0,-O2) -g
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS))
# Contraction is off by name: bits must not depend on the compiler's taste.
ALLFLAGS = $(CSTD) $(CFLAGS) $(WARN) $(WERROR) $(SANFLAGS) -ffp-contract=off -fopenmp \
           -fvisibility=hidden -fPIC -ffile-prefix-map=$(CURDIR)=. -MMD -MP \
           -DTAP_VERSION='"$(VERSION)"' -Iinclude -Isrc $(PKG_CFLAGS)
LIBS = $(PKG_LIBS) -lm -fopenmp
LINK = $(CC) $(CFLAGS) $(SANFLAGS)

# Files named *_avx2.c and *_avx512.c are chosen at run time; they alone may use those
# instructions, and they are empty on other processors.
ARCH := $(shell $(CC) -dumpmachine | cut -d- -f1)
ISA_avx2   := $(if $(filter x86_64,$(ARCH)),-mavx2 -mfma -mf16c)
ISA_avx512 := $(if $(filter x86_64,$(ARCH)),-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
ISA = $(if $(findstring _avx512,$<),$(ISA_avx512),$(if $(findstring _avx2,$<),$(ISA_avx2)))

SRC ?= $(sort $(wildcard src/*/*.c))
LIB_SRC := $(filter-out src/cli/%,$(SRC))
CLI_SRC := $(filter src/cli/%,$(SRC))
# The reference kernels a second time, in double.
REF64   := $(if $(filter src/tensor/kernels_ref.c,$(SRC)),$(B)/src/tensor/kernels_ref_f64.o)
# The tables of share/tables as text inside the library.
TABLES  := $(sort $(wildcard share/tables/*.tsv))
EMBED   := $(if $(filter src/lab/part_table.c,$(SRC)),$(B)/tables.o) \
           $(if $(filter src/report/%,$(SRC)),$(B)/src/report/assets.o)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(REF64) $(EMBED)
CLI_OBJ := $(CLI_SRC:%.c=$(B)/%.o)

TESTS    := $(sort $(wildcard tests/*/test_*.c))
FUZZ     := $(sort $(wildcard tests/fuzz/fuzz_*.c))
SUPPORT  := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard tests/support/*.c)))
TEST_TOOLS := $(sort $(wildcard tests/tools/*.c))
EXAMPLES := $(sort $(wildcard examples/*.c))
BENCH    := $(sort $(wildcard bench/*.c))
TEST_BIN := $(TESTS:%.c=$(B)/%) $(FUZZ:%.c=$(B)/%) $(TEST_TOOLS:%.c=$(B)/%) \
            $(EXAMPLES:%.c=$(B)/%)

ifeq ($(shell uname),Darwin)
SHARED := libtapetum.$(SOVERSION).dylib
SHARED_LINK := libtapetum.dylib
SHAREDFLAGS = -dynamiclib -install_name $(PREFIX)/lib/$(SHARED)
else
SHARED := libtapetum.so.$(SOVERSION)
SHARED_LINK := libtapetum.so
SHAREDFLAGS = -shared -Wl,-soname,$(SHARED)
endif

# Commands are shown with V=1.
ifndef V
MAKEFLAGS += --silent
endif

all: $(B)/tapetum $(B)/libtapetum.a $(B)/$(SHARED) $(B)/tapetum.1

$(B)/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) $(ISA) -c $< -o $@

# The demo looks for its files where they are installed.
$(B)/src/cli/cmd_demo.o: ALLFLAGS += -DTAP_DATA_DIR='"$(PREFIX)/share/tapetum"'

$(B)/src/tensor/kernels_ref_f64.o: src/tensor/kernels_ref.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) -DTAP_REF_F64 -c $< -o $@

$(B)/tables.o: $(TABLES) tools/embed src/lab/shared_tables.h Makefile
	@mkdir -p $(@D)
	tools/embed $(TABLES) > $(B)/tables.c
	$(CC) $(ALLFLAGS) -c $(B)/tables.c -o $@

$(B)/libtapetum.a: $(LIB_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(B)/$(SHARED): $(LIB_OBJ)
	$(LINK) $(SHAREDFLAGS) $^ $(LIBS) -o $@

# Files that are part of the program: each becomes an array of bytes that ends in NUL.
D3 ?= /usr/share/javascript/d3/d3.min.js
ASSETS := src/report/page.html src/report/page.css src/report/page.js \
          src/report/lens.js $(D3)
asset_of = $(shell echo $(notdir $(subst .min,,$(1))) | tr . _)
$(B)/src/report/assets.c: $(ASSETS) Makefile
	@mkdir -p $(@D)
	{ echo '#include "report/assets.h"'; \
	$(foreach a,$(ASSETS),echo 'const unsigned char tap_asset_$(call asset_of,$(a))[] = {'; \
	    od -An -v -tu1 $(a) | sed 's/ *\([0-9][0-9]*\)/\1,/g'; echo '0};';) } > $@.new
	mv $@.new $@
$(B)/src/report/assets.o: $(B)/src/report/assets.c src/report/assets.h
	$(CC) $(ALLFLAGS) -c $< -o $@

# The command without main, for tests of its rooms.
$(B)/libcli.a: $(filter-out %/main.o,$(CLI_OBJ))
	rm -f $@
	$(AR) rcs $@ $^

$(B)/tapetum: $(CLI_OBJ) $(B)/libtapetum.a
	$(LINK) $^ $(LIBS) -o $@

$(B)/tapetum.1: $(B)/tapetum
	$< help --man > $@.new && mv $@.new $@

$(B)/completion.%: $(B)/tapetum
	$< help --completion $* > $@.new && mv $@.new $@

# Tests see the hidden symbols: they link the static library.
TEST_LIB := $(if $(CLI_SRC),$(B)/libcli.a) $(B)/libtapetum.a
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/driver.o $(TEST_LIB)
	$(LINK) $^ $(LIBS) -o $@
$(B)/tests/%: $(B)/tests/%.o $(SUPPORT) $(TEST_LIB)
	$(LINK) $^ $(LIBS) -lcmocka -o $@
# Files that can carry a planted bug (base/planted.h), a second time, with it.
PLANTED := $(shell grep -l 'TAP_PLANTED.TAP_BUG' src/*/*.c)
$(B)/planted/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) $(ISA) -DTAP_PLANT -c $< -o $@
$(B)/libplanted.a: $(PLANTED:%.c=$(B)/planted/%.o) $(filter-out $(PLANTED:%.c=$(B)/%.o),$(LIB_OBJ))
	rm -f $@
	$(AR) rcs $@ $^
$(B)/tests/planted/%.o: ALLFLAGS += -DTAP_PLANT
$(B)/tests/planted/%: $(B)/tests/planted/%.o $(SUPPORT) $(B)/libplanted.a
	$(LINK) $^ $(LIBS) -lcmocka -o $@
$(B)/examples/%: $(B)/examples/%.o $(B)/libtapetum.a
	$(LINK) $^ $(LIBS) -o $@
$(B)/bench/%: $(B)/bench/%.o $(B)/tests/support/tiny_model.o $(B)/tests/support/tiny_tokenizer.o $(B)/libtapetum.a
	$(LINK) $^ $(LIBS) $(shell pkg-config --libs openblas) -o $@

check: all $(TEST_BIN)
	CC="$(CC)" tests/run $(B)

demo: all
	$(B)/tapetum demo -o $(B)/demo

# Checkpoints of 3 GB are made; an hour with PyTorch beside. bench/run --help for less.
bench: all $(BENCH:%.c=$(B)/%) $(B)/tests/tools/make_results
	bench/report.sh $(B)
	bench/run --build $(B)

lint: $(B)/$(SHARED)
	tools/lint $(B)/$(SHARED) $(CSTD) -DTAP_VERSION='""' -Iinclude -Isrc $(PKG_CFLAGS)

# Every parser under libFuzzer; new inputs stay in $(B), crashes are printed.
FUZZ_SECONDS ?= 60
fuzz:
	$(MAKE) CC=clang SAN=fuzzer-no-link,address,undefined VARIANT=fuzz fuzz-run
fuzz-run: $(FUZZ:%.c=$(B)/%.libfuzzer)
	for f in $^; do name=$${f##*/fuzz_}; name=$${name%.libfuzzer}; \
	    mkdir -p $(B)/corpus/$$name; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/crash-$$name- \
	        $(B)/corpus/$$name tests/fuzz/corpus/$$name || exit 1; done
$(B)/tests/fuzz/%.libfuzzer: $(B)/tests/fuzz/%.o $(TEST_LIB)
	$(LINK) -fsanitize=fuzzer $^ $(LIBS) -o $@

INSTALL := install
D = $(DESTDIR)$(PREFIX)
install: all $(B)/completion.bash $(B)/completion.zsh $(B)/completion.fish
	$(INSTALL) -d $(D)/bin $(D)/include $(D)/lib/pkgconfig $(D)/share/man/man1 \
	    $(D)/share/bash-completion/completions $(D)/share/zsh/site-functions \
	    $(D)/share/fish/vendor_completions.d $(D)/share/doc/tapetum/docs $(D)/share/tapetum
	$(INSTALL) -m 755 $(B)/tapetum $(D)/bin
	$(INSTALL) -m 644 include/tapetum.h $(D)/include
	$(INSTALL) -m 644 $(B)/libtapetum.a $(D)/lib
	$(INSTALL) -m 755 $(B)/$(SHARED) $(D)/lib
	ln -sf $(SHARED) $(D)/lib/$(SHARED_LINK)
	sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@VERSION@,$(VERSION),' -e 's,@PKGS@,$(PKGS),' tapetum.pc.in > $(D)/lib/pkgconfig/tapetum.pc
	$(INSTALL) -m 644 $(B)/tapetum.1 $(D)/share/man/man1
	$(INSTALL) -m 644 $(B)/completion.bash $(D)/share/bash-completion/completions/tapetum
	$(INSTALL) -m 644 $(B)/completion.zsh $(D)/share/zsh/site-functions/_tapetum
	$(INSTALL) -m 644 $(B)/completion.fish $(D)/share/fish/vendor_completions.d/tapetum.fish
	$(INSTALL) -m 644 LICENSE README.md CHANGELOG.md $(D)/share/doc/tapetum
	$(INSTALL) -m 644 docs/*.md docs/*.png $(D)/share/doc/tapetum/docs
	cp -R share/organism share/tables $(D)/share/tapetum/

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all check demo bench lint fuzz fuzz-run install clean
.SECONDARY:
.DELETE_ON_ERROR:
