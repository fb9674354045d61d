/*
 * crash - named places where a test build kills itself: SEALPOST_CRASH_AT=NAME:N.
 *
 * Compiles to nothing outside SEALPOST_TESTING.  The names are listed in schema/crash_points.def.
 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#ifdef SEALPOST_TESTING
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
