#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/config.h"
#include "common/glob.h"
#include "common/log.h"
#include "common/table.h"
#include "tests/test.h"

static void buffers(void) {
  struct buffer b;
  buffer_init(&b);
  for (int i = 0; i < 1000; i++) buffer_printf(&b, "%d,", i);
  CHECK(buffer_size(&b) == 3890);
  buffer_consume(&b, 3880);
  CHECK(slice_equal(buffer_content(&b), slice_of("8,998,999,")) || buffer_size(&b) == 10);
  buffer_add_u64(&b, 0x0102030405060708ULL);
  CHECK(read_u64(buffer_content(&b).data + 10) == 0x0102030405060708ULL);
  buffer_free(&b);
}

static void globs(void) {
  static const struct {
    const char *pattern, *text;
    bool matches;
  } CASES[] = {
      {"*", "", true},        {"*", "anything", true},   {"a*c", "abbc", true},    {"a*c", "abb", false},
      {"?", "x", true},       {"?", "", false},          {"[a-c]x", "bx", true},   {"[!a-c]x", "bx", false},
      {"[a-c", "[a-c", true}, {"\\*", "*", true},        {"\\*", "x", false},      {"user:*:name", "user:7:name", true},
      {"**a", "bba", true},   {"a[]]", "a]", true},      {"[c-a]", "b", true},     {"*a*b*", "xaxbx", true},
  };
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    bool got = glob_matches(slice_of(CASES[i].pattern), slice_of(CASES[i].text));
    if (!CHECK(got == CASES[i].matches)) fprintf(stderr, "  %s and %s\n", CASES[i].pattern, CASES[i].text);
  }
  CHECK(glob_is_sound(slice_of("a[b-c]*")));
  CHECK(!glob_is_sound(slice_of("a[b")));
  CHECK(!glob_is_sound(slice_of("a\\")));
}

static void tables(void) {
  struct table t;
  char key[32];
  size_t walked = 0;
  table_init(&t, 42);
  CHECK(table_get(&t, slice_of("x")) == NULL);
  CHECK(table_remove(&t, slice_of("x")) == NULL);
  for (long i = 1; i <= 1000; i++) {
    snprintf(key, sizeof key, "key%ld", i);
    CHECK(table_put(&t, slice_of(key), (void *)i) == NULL);
  }
  CHECK(t.count == 1000);
  CHECK(table_put(&t, slice_of("key7"), (void *)7000L) == (void *)7L);
  CHECK(table_get(&t, slice_of("key7")) == (void *)7000L);
  for (struct table_entry *e = table_first(&t); e; e = table_next(&t, e)) walked++;
  CHECK(walked == 1000);
  for (long i = 1; i <= 990; i++) {
    snprintf(key, sizeof key, "key%ld", i);
    CHECK(table_remove(&t, slice_of(key)) != NULL);
  }
  CHECK(t.count == 10 && t.slot_count < 256);
  table_free(&t, NULL);
}

static void configurations(void) {
  char *text = slice_copy(slice_of("before"));
  int64_t number = 1, size = 0, duration = 0;
  bool on = false;
  enum log_level level;
  const struct setting settings[] = {
      {"text", SETTING_TEXT, &text, 0, 0},           {"a.number", SETTING_NUMBER, &number, 1, 10},
      {"a.size", SETTING_SIZE, &size, 0, 0},         {"a.duration", SETTING_DURATION, &duration, 0, 0},
      {"b.switch", SETTING_SWITCH, &on, 0, 0},
  };
  static const struct {
    const char *text, *problem;
  } WRONG[] = {
      {"nonsense", "line 1: `nonsense' is neither a setting nor a section"},
      {"\n[a\n", "line 2: `[a' is no section"},
      {"[a]\nnumber = 11", "line 2: a.number must be between 1 and 10"},
      {"[a]\nnumber = x", "line 2: a.number must be a number, not `x'"},
      {"[a]\nsize = -1k", "line 2: a.size must be a size such as 64k, not `-1k'"},
      {"unknown = 1", "line 1: there is no setting `unknown'"},
  };
  struct buffer problem;
  buffer_init(&problem);
  CHECK(config_parse("# one\ntext = \"a # b\"  # two\n[a]\nnumber=7\nsize = 64k\nduration = 2m\n[b]\nswitch = on\n", settings, 5, &problem));
  CHECK(strcmp(text, "a # b") == 0 && number == 7 && size == 65536 && duration == 120000 && on);
  for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
    buffer_clear(&problem);
    CHECK(!config_parse(WRONG[i].text, settings, 5, &problem));
    if (!CHECK(slice_equal(buffer_content(&problem), slice_of(WRONG[i].problem)))) {
      fprintf(stderr, "  %.*s\n", (int)buffer_size(&problem), buffer_content(&problem).data);
    }
  }
  CHECK(!config_read("/nonexistent/file", settings, 5, &problem));
  CHECK(!parse_size("9999999999999999999", &size) && !parse_size("9223372036854775807k", &size));
  CHECK(log_level_of("Warning", &level) && level == LOG_WARNING && !log_level_of("loud", &level));
  buffer_free(&problem);
  free(text);
}

void test_common(void) {
  buffers();
  globs();
  tables();
  configurations();
}
