/* What args.c and args_value.c share; nobody else includes it. */
#ifndef ARGS_INT_H
#define ARGS_INT_H

#include "args.h"

/* The sentence for `why`. Both return -1; args_wrong: NAME "VALUE": TAKES. */
int args_complain(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int args_wrong(char *why, const char *name, const char *value, const char *takes);

/* Digits and nothing else, within the range; with args_parse_auto also "auto", which is 0. */
bool args_parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out);
bool args_parse_auto(const char *text, unsigned long min, unsigned long max, unsigned long *out);

/* Values with a grammar of their own. 0, or -1 and why. */
int args_set_mode(struct client_options *o, const char *name, const char *value, char *why);
int args_set_ports(struct client_options *o, const char *name, const char *value, char *why);
int args_set_bind(struct client_options *o, const char *name, const char *value, char *why);
int args_set_without(struct client_options *o, const char *name, const char *value, char *why);

#endif
