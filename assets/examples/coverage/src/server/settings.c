#include "server/settings.h"

#include <stdlib.h>
#include <string.h>

void settings_init(struct settings *s) {
  memset(s, 0, sizeof *s);
  s->address = slice_copy(slice_of("127.0.0.1"));
  s->port = 7411;
  s->clients = 256;
  s->journal = slice_copy(slice_of(""));
  s->compact_after = 100000;
  s->log_level = slice_copy(slice_of("info"));
}

void settings_free(struct settings *s) {
  free(s->address);
  free(s->journal);
  free(s->log_level);
}

void settings_table(struct settings *s, struct setting table[SETTING_COUNT]) {
  const struct setting all[SETTING_COUNT] = {
      {"listen.address", SETTING_TEXT, &s->address, 0, 0},
      {"listen.port", SETTING_NUMBER, &s->port, 1, 65535},
      {"listen.clients", SETTING_NUMBER, &s->clients, 1, 100000},
      {"listen.idle", SETTING_DURATION, &s->idle, 0, 0},
      {"journal.file", SETTING_TEXT, &s->journal, 0, 0},
      {"journal.sync", SETTING_SWITCH, &s->sync, 0, 0},
      {"journal.compact-after", SETTING_NUMBER, &s->compact_after, 1, INT64_MAX},
      {"store.memory", SETTING_SIZE, &s->memory, 0, 0},
      {"store.default-ttl", SETTING_DURATION, &s->default_ttl, 0, 0},
      {"store.read-only", SETTING_SWITCH, &s->read_only, 0, 0},
      {"log.level", SETTING_TEXT, &s->log_level, 0, 0},
  };
  memcpy(table, all, sizeof all);
}
