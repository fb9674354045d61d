/*
 * places - where things are: HOME of a user, and the system's directories (cli 2).
 *
 * Results are malloc'ed; NULL when there is no home at all.
 */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

/* $SEALPOST_HOME, else $XDG_DATA_HOME/sealpost, else ~/.local/share/sealpost. */
char *place_home(void);

/* sealpostd.conf: SEALPOST_CONFIG, else in HOME/broker if that directory exists, else the system's.
 */
char *place_broker_config(void);

/* Control socket: SEALPOST_CONTROL, else in HOME/broker if that exists, else the system's.
 */
char *place_control_socket(void);

/* "dir/name" */
char *place_join(const char *dir, const char *name);

#endif
