#include "common/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
  const char *name;
  int64_t factor;
};

static const struct unit SIZES[] = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}};
static const struct unit DURATIONS[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

/* A number and what stands behind it. */
static bool split_number(const char *text, int64_t *number, const char **rest) {
  char *end;
  errno = 0;
  *number = strtoll(text, &end, 10);
  if (end == text || errno == ERANGE || isspace((unsigned char)text[0])) return false;
  *rest = end;
  return true;
}

static bool with_unit(const char *text, const struct unit *units, size_t count, int64_t *result) {
  const char *rest;
  if (!split_number(text, result, &rest)) return false;
  for (size_t i = 0; i < count; i++) {
    if (strcasecmp(rest, units[i].name) == 0) return !__builtin_mul_overflow(*result, units[i].factor, result);
  }
  return false;
}

bool parse_number(const char *text, int64_t *number) {
  const char *rest;
  return split_number(text, number, &rest) && *rest == '\0';
}

bool parse_size(const char *text, int64_t *bytes) {
  return with_unit(text, SIZES, sizeof SIZES / sizeof *SIZES, bytes) && *bytes >= 0;
}

bool parse_duration(const char *text, int64_t *milliseconds) {
  return with_unit(text, DURATIONS, sizeof DURATIONS / sizeof *DURATIONS, milliseconds) && *milliseconds >= 0;
}

bool parse_switch(const char *text, bool *on) {
  static const char *const YES[] = {"yes", "on", "true", "1"}, *const NO[] = {"no", "off", "false", "0"};
  for (int i = 0; i < 4; i++) {
    if (strcasecmp(text, YES[i]) == 0) return *on = true, true;
    if (strcasecmp(text, NO[i]) == 0) return *on = false, true;
  }
  return false;
}

static bool in_range(const struct setting *s, int64_t number, struct buffer *problem) {
  if (s->least == s->most || (number >= s->least && number <= s->most)) return true;
  buffer_printf(problem, "%s must be between %" PRId64 " and %" PRId64, s->name, s->least, s->most);
  return false;
}

static bool assign(const struct setting *s, const char *value, struct buffer *problem) {
  int64_t number = 0;
  bool on = false;
  switch (s->kind) {
    case SETTING_TEXT:
      free(*(char **)s->target);
      *(char **)s->target = slice_copy(slice_of(value));
      return true;
    case SETTING_SWITCH:
      if (!parse_switch(value, &on)) break;
      *(bool *)s->target = on;
      return true;
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_DURATION:
      if (s->kind == SETTING_NUMBER ? !parse_number(value, &number)
                                    : s->kind == SETTING_SIZE ? !parse_size(value, &number) : !parse_duration(value, &number)) {
        break;
      }
      if (!in_range(s, number, problem)) return false;
      *(int64_t *)s->target = number;
      return true;
  }
  static const char *const KINDS[] = {"text", "a number", "a size such as 64k", "a duration such as 10s", "yes or no"};
  buffer_printf(problem, "%s must be %s, not `%s'", s->name, KINDS[s->kind], value);
  return false;
}

bool config_set(const struct setting *settings, size_t count, const char *name, const char *value, struct buffer *problem) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(settings[i].name, name) == 0) return assign(&settings[i], value, problem);
  }
  buffer_printf(problem, "there is no setting `%s'", name);
  return false;
}

static char *trimmed(char *text) {
  char *end = text + strlen(text);
  while (isspace((unsigned char)*text)) text++;
  while (end > text && isspace((unsigned char)end[-1])) end--;
  *end = '\0';
  return text;
}

/* A `#' begins a comment unless it is quoted. */
static void cut_comment(char *line) {
  bool quoted = false;
  for (; *line; line++) {
    if (*line == '"') quoted = !quoted;
    if (*line == '#' && !quoted) {
      *line = '\0';
      return;
    }
  }
}

static char *unquoted(char *value) {
  size_t size = strlen(value);
  if (size < 2 || value[0] != '"' || value[size - 1] != '"') return value;
  value[size - 1] = '\0';
  return value + 1;
}

static bool parse_line(char *line, char *section, size_t room, const struct setting *settings, size_t count,
                       struct buffer *problem) {
  char name[128], *equals;
  cut_comment(line);
  line = trimmed(line);
  if (*line == '\0') return true;
  if (*line == '[') {
    size_t size = strlen(line);
    if (line[size - 1] != ']' || size < 3 || size - 2 >= room) {
      buffer_printf(problem, "`%s' is no section", line);
      return false;
    }
    memcpy(section, line + 1, size - 2);
    section[size - 2] = '\0';
    return true;
  }
  equals = strchr(line, '=');
  if (!equals) {
    buffer_printf(problem, "`%s' is neither a setting nor a section", line);
    return false;
  }
  *equals = '\0';
  snprintf(name, sizeof name, "%s%s%s", section, *section ? "." : "", trimmed(line));
  return config_set(settings, count, name, unquoted(trimmed(equals + 1)), problem);
}

bool config_parse(const char *text, const struct setting *settings, size_t count, struct buffer *problem) {
  char section[64] = "";
  char *copy = slice_copy(slice_of(text)), *line, *rest = copy;
  bool sound = true;
  for (int number = 1; sound && (line = strsep(&rest, "\n")) != NULL; number++) {
    struct buffer what;
    buffer_init(&what);
    sound = parse_line(line, section, sizeof section, settings, count, &what);
    if (!sound) buffer_printf(problem, "line %d: %.*s", number, (int)buffer_size(&what), buffer_content(&what).data);
    buffer_free(&what);
  }
  free(copy);
  return sound;
}

bool config_read(const char *path, const struct setting *settings, size_t count, struct buffer *problem) {
  FILE *file = fopen(path, "r");
  struct buffer text, what;
  bool sound;
  if (!file) {
    buffer_printf(problem, "%s: %s", path, strerror(errno));
    return false;
  }
  buffer_init(&text);
  buffer_init(&what);
  for (size_t got = 1; got > 0;) {
    got = fread(buffer_reserve(&text, 4096), 1, 4096, file);
    buffer_wrote(&text, got);
  }
  fclose(file);
  buffer_add_u8(&text, 0);
  sound = config_parse(buffer_content(&text).data, settings, count, &what);
  if (!sound) buffer_printf(problem, "%s, %.*s", path, (int)buffer_size(&what), buffer_content(&what).data);
  buffer_free(&text);
  buffer_free(&what);
  return sound;
}
