/* modules - all of them, in the order of opening and of writing; NULL at the end. */
#ifndef STORE_MODULES_H
#define STORE_MODULES_H
#include "broker/store/inside.h"

extern const struct module *const store_modules[];

/* store.c */
void clock_open(struct store *store, uint64_t last_ms);

#endif
