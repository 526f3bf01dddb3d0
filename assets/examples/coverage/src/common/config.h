/* Configuration files: `name = value' a line, `# comment', `[section]' before the names that belong to it.
 *
 * Settings are described by a table; what it does not know is an error with its line, not a silent nothing.
 */
#ifndef LARDER_CONFIG_H
#define LARDER_CONFIG_H

#include "common/buffer.h"

enum setting_kind {
  SETTING_TEXT,     /* char *, to be freed */
  SETTING_NUMBER,   /* int64_t */
  SETTING_SIZE,     /* int64_t, bytes: 10, 64k, 3m, 1g */
  SETTING_DURATION, /* int64_t, milliseconds: 250ms, 10s, 5m, 2h, 1d */
  SETTING_SWITCH    /* bool: yes, no, on, off, true, false */
};

struct setting {
  const char *name; /* section.name, or the name alone */
  enum setting_kind kind;
  void *target;
  int64_t least, most; /* of numbers */
};

/* Reads a text; the first thing that is wrong is told in `problem', with its line. */
bool config_parse(const char *text, const struct setting *settings, size_t count, struct buffer *problem);
bool config_read(const char *path, const struct setting *settings, size_t count, struct buffer *problem);
/* One setting by itself, as on a command line. */
bool config_set(const struct setting *settings, size_t count, const char *name, const char *value, struct buffer *problem);

bool parse_number(const char *text, int64_t *number);
bool parse_size(const char *text, int64_t *bytes);
bool parse_duration(const char *text, int64_t *milliseconds);
bool parse_switch(const char *text, bool *on);

#endif
