/* larderd: the server's program. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/server.h"

static const char USAGE[] =
    "larderd keeps keys and values for others on the network.\n"
    "\n"
    "  larderd [-c FILE] [-s NAME=VALUE]...\n"
    "\n"
    "  -c FILE         read settings from a file\n"
    "  -s NAME=VALUE   set one, such as listen.port=7411\n"
    "  -t              look at the settings only\n"
    "  -h              say this\n";

static bool set_word(const struct setting *table, char *word, struct buffer *problem) {
  char *equals = strchr(word, '=');
  if (!equals) {
    buffer_printf(problem, "`%s' is not NAME=VALUE", word);
    return false;
  }
  *equals = '\0';
  return config_set(table, SETTING_COUNT, word, equals + 1, problem);
}

static int failed(const char *what, const struct buffer *problem) {
  log_error("%s%.*s", what, (int)buffer_size(problem), buffer_content(problem).data);
  return 1;
}

static int serve(const struct settings *settings, struct buffer *problem) {
  struct store store;
  struct journal journal;
  struct server server = {0};
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint64_t)clock_wall();
  store_init(&store, (size_t)settings->memory, seed);
  if (*settings->journal) {
    if (!journal_open(&journal, settings->journal, settings->sync, &store, clock_wall(), problem)) return failed("", problem);
    log_info("%s: %zu keys", settings->journal, store.items.count);
    server.commands.journal = &journal;
  }
  server.commands.store = &store;
  server.commands.default_ttl = settings->default_ttl;
  server.commands.compact_after = settings->compact_after;
  server.commands.read_only = settings->read_only;
  if (!server_start(&server, settings, problem)) return failed("", problem);
  log_info("listening on %s port %d", settings->address, (int)settings->port);
  server_run(&server);
  server_stop(&server);
  if (server.commands.journal) journal_close(&journal);
  store_free(&store);
  return 0;
}

int main(int argc, char **argv) {
  struct settings settings;
  struct setting table[SETTING_COUNT];
  struct buffer problem;
  enum log_level level;
  bool only_look = false;
  int option, status;
  settings_init(&settings);
  settings_table(&settings, table);
  buffer_init(&problem);
  while ((option = getopt(argc, argv, "c:s:th")) != -1) {
    bool sound = true;
    switch (option) {
      case 'c':
        sound = config_read(optarg, table, SETTING_COUNT, &problem);
        break;
      case 's':
        sound = set_word(table, optarg, &problem);
        break;
      case 't':
        only_look = true;
        break;
      case 'h':
        fputs(USAGE, stdout);
        return 0;
      default:
        fputs(USAGE, stderr);
        return 2;
    }
    if (!sound) return failed("", &problem);
  }
  if (!log_level_of(settings.log_level, &level)) {
    buffer_printf(&problem, "log.level must be debug, info, warning or error, not `%s'", settings.log_level);
    return failed("", &problem);
  }
  log_set_level(level);
  status = only_look ? 0 : serve(&settings, &problem);
  settings_free(&settings);
  buffer_free(&problem);
  return status;
}
