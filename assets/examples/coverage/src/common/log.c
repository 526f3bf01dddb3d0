#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *const NAMES[] = {"debug", "info", "warning", "error"};
static enum log_level threshold = LOG_INFO;

void log_set_level(enum log_level level) { threshold = level; }

bool log_level_of(const char *name, enum log_level *level) {
  for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
    if (strcasecmp(name, NAMES[i]) == 0) {
      *level = (enum log_level)i;
      return true;
    }
  }
  return false;
}

const char *log_level_name(enum log_level level) { return NAMES[level]; }

void log_at(enum log_level level, const char *format, ...) {
  va_list words;
  if (level < threshold) return;
  /* The priority is for systemd's journal, which takes it from the line. */
  static const int PRIORITY[] = {7, 6, 4, 3};
  if (getenv("JOURNAL_STREAM")) fprintf(stderr, "<%d>", PRIORITY[level]);
  fprintf(stderr, "%s: ", NAMES[level]);
  va_start(words, format);
  vfprintf(stderr, format, words);
  va_end(words);
  fputc('\n', stderr);
}

void out_of_memory(void) {
  log_error("out of memory");
  abort();
}
