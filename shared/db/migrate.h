/*
 * migrate - brings a file to the newest schema, or refuses it before a byte is written.
 *
 * Each step is one transaction with its new user_version: killed anywhere, the old version is
 * there.
 */
#ifndef DB_MIGRATE_H
#define DB_MIGRATE_H
#include "shared/db/db.h"

/* Tables of these end with version 0.  The build makes them from schema/: broker_migrations and
 * broker_views, agent_migrations and agent_views. */
struct migration {
    int version;
    const char *name, *sql;
};

/* The file's version, 0 for a new one. */
enum err migrate_version(struct db *db, int *out);

/*
 * Runs every migration above the file's version, then replaces all views by `views`; then turns
 * foreign keys on and reads that back.  ERR_STORE_NEWER: the file is from a later program.
 */
enum err migrate(struct db *db, const struct migration *migrations, const char *views);

/* The schema as text, in the order of making: what schema/NAME/schema.sql holds. */
enum err migrate_dump(struct db *db, struct buf *out);

#endif
