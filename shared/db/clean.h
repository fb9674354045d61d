/*
 * clean - what SQLite frees is zeroed first: the rows that it has read, with sealed keys among
 * them, must not outlive their end in a memory image.
 *
 * Thread   before any other thread uses SQLite.
 */
#ifndef DB_CLEAN_H
#define DB_CLEAN_H

/* For the whole process, and before its first database is opened; later it has no effect. */
void db_clean_memory(void);

#endif
