/*
 * fuzz - a target is one function; an abort() is a finding.
 *
 * Under clang libFuzzer calls it (CMakeLists.txt); under any compiler replay.c feeds it a corpus.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H
#include <stdlib.h>

#include "shared/base/bytes.h"
#include "shared/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

/* Something that must hold for every input. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#endif
