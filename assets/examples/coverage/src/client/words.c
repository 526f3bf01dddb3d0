#include "client/words.h"

#include <string.h>

#include "common/config.h"

enum argument { NONE, OPTIONAL, REQUIRED };

struct form {
  const char *name;
  uint8_t operation;
  enum argument key, value, number;
  const char *help;
};

static const struct form FORMS[] = {
    {"ping", OP_PING, NONE, OPTIONAL, NONE, "ping [TEXT]               ask for an answer"},
    {"get", OP_GET, REQUIRED, NONE, NONE, "get KEY                   print a value"},
    {"set", OP_SET, REQUIRED, REQUIRED, OPTIONAL, "set KEY VALUE [TTL]       set a value, for 250ms, 10s, 5m, 2h or 1d"},
    {"new", OP_SET, REQUIRED, REQUIRED, OPTIONAL, "new KEY VALUE [TTL]       the same, if the key is not there"},
    {"change", OP_SET, REQUIRED, REQUIRED, NONE, "change KEY VALUE          the same, if it is; its time goes on"},
    {"delete", OP_DELETE, REQUIRED, NONE, NONE, "delete KEY                remove a key"},
    {"expire", OP_EXPIRE, REQUIRED, NONE, REQUIRED, "expire KEY TTL            let a key end, or 0 for never"},
    {"add", OP_ADD, REQUIRED, NONE, OPTIONAL, "add KEY [STEP]            count up or down"},
    {"append", OP_APPEND, REQUIRED, REQUIRED, NONE, "append KEY VALUE          lengthen a value"},
    {"keys", OP_KEYS, OPTIONAL, NONE, NONE, "keys [PATTERN]            list keys"},
    {"count", OP_COUNT, NONE, NONE, NONE, "count                     how many keys there are"},
    {"stats", OP_STATS, NONE, NONE, NONE, "stats                     what the server has done"},
    {"watch", OP_WATCH, REQUIRED, NONE, NONE, "watch PATTERN             print changes as they come"},
    {"compact", OP_COMPACT, NONE, NONE, NONE, "compact                   shorten the server's journal"},
};
enum { FORM_COUNT = sizeof FORMS / sizeof *FORMS };

const char *usage_text(void) {
  static struct buffer text;
  if (buffer_size(&text) > 0) return buffer_content(&text).data;
  buffer_add_text(&text,
                  "larder speaks to larderd.\n\n"
                  "  larder [-H HOST] [-p PORT] [-w PATIENCE] [-n EVENTS] [-j] [-q] COMMAND\n\n");
  for (size_t i = 0; i < FORM_COUNT; i++) buffer_printf(&text, "  %s\n", FORMS[i].help);
  buffer_add_text(&text,
                  "\n  -j prints JSON, -q nothing but errors; a VALUE of - is read from standard input.\n"
                  "  Exit status: 0 done, 1 refused, 2 a wrong command line, 3 no server, 4 there is no such key.\n");
  buffer_add_u8(&text, 0);
  return buffer_content(&text).data;
}

void options_init(struct options *o) { *o = (struct options){.host = "127.0.0.1", .port = "7411", .patience = 5000}; }

int options_parse(struct options *o, int count, char **words, struct buffer *problem) {
  int i = 0;
  for (; i < count && words[i][0] == '-' && words[i][1] != '\0'; i++) {
    const char *word = words[i], *value;
    if (strcmp(word, "--") == 0) return i + 1;
    if (strcmp(word, "-j") == 0) {
      o->json = true;
      continue;
    }
    if (strcmp(word, "-q") == 0) {
      o->quiet = true;
      continue;
    }
    if (strlen(word) != 2 || !strchr("Hpwn", word[1])) {
      buffer_printf(problem, "there is no option %s", word);
      return -1;
    }
    if (i + 1 == count) {
      buffer_printf(problem, "%s needs a value", word);
      return -1;
    }
    value = words[++i];
    if (word[1] == 'H') {
      o->host = value;
    } else if (word[1] == 'p') {
      o->port = value;
    } else if (word[1] == 'w' && !parse_duration(value, &o->patience)) {
      buffer_printf(problem, "-w needs a duration such as 5s, not `%s'", value);
      return -1;
    } else if (word[1] == 'n' && (!parse_number(value, &o->events) || o->events < 0)) {
      buffer_printf(problem, "-n needs a number, not `%s'", value);
      return -1;
    }
  }
  return i;
}

static const struct form *form_of(const char *name) {
  for (size_t i = 0; i < FORM_COUNT; i++) {
    if (strcmp(FORMS[i].name, name) == 0) return &FORMS[i];
  }
  return NULL;
}

static bool parse_count(const struct form *form, const char *word, struct message *request, struct buffer *problem) {
  bool is_step = form->operation == OP_ADD;
  if (is_step ? parse_number(word, &request->number) : parse_duration(word, &request->number)) {
    request->has_number = true;
    return true;
  }
  buffer_printf(problem, "%s needs %s, not `%s'", form->name, is_step ? "a number" : "a duration such as 10s", word);
  return false;
}

bool request_parse(int count, char **words, struct message *request, bool *value_from_input, struct buffer *problem) {
  const struct form *form = count > 0 ? form_of(words[0]) : NULL;
  int at = 1;
  memset(request, 0, sizeof *request);
  *value_from_input = false;
  if (!form) {
    if (count > 0) {
      buffer_printf(problem, "there is no command `%s'", words[0]);
    } else {
      buffer_add_text(problem, "a command is missing");
    }
    return false;
  }
  request->kind = form->operation;
  if (strcmp(form->name, "new") == 0) request->flags = FLAG_IF_ABSENT;
  if (strcmp(form->name, "change") == 0) request->flags = FLAG_IF_PRESENT | FLAG_KEEP_TTL;
  if (form->key != NONE && at < count) request->key = slice_of(words[at++]);
  if (form->value != NONE && at < count) {
    *value_from_input = strcmp(words[at], "-") == 0;
    request->value = slice_of(words[at++]);
  }
  if (form->number != NONE && at < count && !parse_count(form, words[at++], request, problem)) return false;
  if ((form->key == REQUIRED && request->key.data == NULL) || (form->value == REQUIRED && request->value.data == NULL) ||
      (form->number == REQUIRED && !request->has_number)) {
    buffer_printf(problem, "something is missing: larder %s", form->help);
    return false;
  }
  if (at < count) {
    buffer_printf(problem, "`%s' is one word too many: larder %s", words[at], form->help);
    return false;
  }
  if (request->key.size > KEY_MAX) {
    buffer_printf(problem, "the key is too long: %zu bytes, and %d are allowed", request->key.size, KEY_MAX);
    return false;
  }
  return true;
}
