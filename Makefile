# tapetum: one makefile, no configure step. GNU make 3.81 or newer.
#   make            library and command in build/release
#   make check      every test;  make lint · make demo · make install PREFIX=/usr/local
#   make SAN=address,undefined check      the same suite under sanitizers
# SRC and B may be set to build part of the tree elsewhere.

VERSION := $(shell cat VERSION)
PREFIX  ?= /usr/local
SAN     ?=
comma   := ,
VARIANT ?= $(if $(SAN),san-$(subst $(comma),-,$(SAN)),release)
B       ?= build/$(VARIANT)

PKGS   := jansson libcyaml libpcre2-8 libutf8proc libzip libjpeg libpng libtiff-4 \
          matio sqlite3 libcrypto libxxhash cairo
CSTD   := -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64
WARN   := -Wall -Wextra -Wshadow -Wconversion -Wfloat-conversion -Wdouble-promotion \
          -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla \
          -Wformat=2 -Wundef -Wcast-qual -Wswitch-enum
WERROR ?=
CFLAGS ?= -O2 -g
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS))
# Contraction is off by name: bits must not depend on the compiler's taste.
ALLFLAGS = $(CSTD) $(CFLAGS) $(WARN) $(WERROR) $(SANFLAGS) -ffp-contract=off -fopenmp \
           -fvisibility=hidden -fPIC -ffile-prefix-map=$(CURDIR)=. -MMD -MP \
           -DTAP_VERSION='"$(VERSION)"' -Iinclude -Isrc $(PKG_CFLAGS)
LIBS = $(PKG_LIBS) -lm -fopenmp

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
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(REF64)
CLI_OBJ := $(CLI_SRC:%.c=$(B)/%.o)

TESTS   := $(sort $(wildcard tests/*/test_*.c))
FUZZ    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
SUPPORT := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard tests/support/*.c)))
EXAMPLES := $(sort $(wildcard examples/*.c))

all: $(B)/tapetum $(B)/libtapetum.a

$(B)/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) $(ISA) -c $< -o $@

$(B)/src/tensor/kernels_ref_f64.o: src/tensor/kernels_ref.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) -DTAP_REF_F64 -c $< -o $@

$(B)/libtapetum.a: $(LIB_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

$(B)/tapetum: $(CLI_OBJ) $(B)/libtapetum.a
	$(CC) $(CFLAGS) $(SANFLAGS) $(CLI_OBJ) $(B)/libtapetum.a $(LIBS) -o $@

# Tests see the hidden symbols: they link the static library.
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/driver.o $(B)/libtapetum.a
	$(CC) $(CFLAGS) $(SANFLAGS) $^ $(LIBS) -o $@
$(B)/tests/%: $(B)/tests/%.o $(SUPPORT) $(B)/libtapetum.a
	$(CC) $(CFLAGS) $(SANFLAGS) $^ $(LIBS) -lcmocka -o $@
$(B)/examples/%: $(B)/examples/%.o $(B)/libtapetum.a
	$(CC) $(CFLAGS) $(SANFLAGS) $^ $(LIBS) -o $@

TEST_BIN := $(TESTS:%.c=$(B)/%) $(FUZZ:%.c=$(B)/%) $(EXAMPLES:%.c=$(B)/%)

check: all $(TEST_BIN)
	tests/run $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all check
.SECONDARY:
