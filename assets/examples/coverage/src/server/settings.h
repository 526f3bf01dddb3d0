/* What the server can be told, in its file and on its command line. */
#ifndef LARDER_SETTINGS_H
#define LARDER_SETTINGS_H

#include "common/config.h"

struct settings {
  char *address;
  int64_t port;
  int64_t clients;       /* at most, at once */
  int64_t idle;          /* milliseconds after which a silent client is let go; zero for never */
  char *journal;         /* a file, or empty */
  bool sync;
  int64_t compact_after; /* records */
  int64_t memory;        /* bytes; zero for no limit */
  int64_t default_ttl;   /* milliseconds; zero for none */
  bool read_only;
  char *log_level;
};

enum { SETTING_COUNT = 11 };

void settings_init(struct settings *s);
void settings_free(struct settings *s);
void settings_table(struct settings *s, struct setting table[SETTING_COUNT]);

#endif
