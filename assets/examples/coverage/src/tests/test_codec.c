#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/print.h"
#include "client/words.h"
#include "common/codec.h"
#include "tests/test.h"

static void round_trip(void) {
  struct message m = {.kind = OP_SET, .id = 7, .key = slice_of("k"), .value = slice_of("v"), .number = -5, .has_number = true, .flags = FLAG_IF_ABSENT};
  struct message read;
  struct buffer out;
  size_t used = 0;
  const char *why = NULL;
  buffer_init(&out);
  message_encode(&out, &m);
  for (size_t size = 0; size < buffer_size(&out); size++) {
    CHECK(message_decode((struct slice){buffer_content(&out).data, size}, &read, &used, &why) == DECODE_MORE);
  }
  CHECK(message_decode(buffer_content(&out), &read, &used, &why) == DECODED);
  CHECK(used == buffer_size(&out) && read.kind == OP_SET && read.id == 7 && read.number == -5 && read.flags == FLAG_IF_ABSENT);
  CHECK(slice_equal(read.key, m.key) && slice_equal(read.value, m.value));
  buffer_free(&out);
}

static void broken(void) {
  static const struct {
    const char *bytes;
    size_t size;
  } CASES[] = {
      {"\0\0\0\5\1\1\0\0\0\0", 10},                         /* too short */
      {"\xff\0\0\0\1\1\0\0\0\0", 10},                       /* too long */
      {"\0\0\0\6\2\1\0\0\0\0", 10},                         /* another version */
      {"\0\0\0\7\1\1\0\0\0\0\1", 11},                       /* half a field */
      {"\0\0\0\xb\1\1\0\0\0\0\1\0\0\0\1", 15},              /* a field that leads outside */
      {"\0\0\0\xc\1\1\0\0\0\0\3\0\0\0\1x", 16},             /* a number of one byte */
      {"\0\0\0\xc\1\1\0\0\0\0\4\0\0\0\1x", 16},             /* flags of one byte */
  };
  for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
    struct message m;
    size_t used = 0;
    const char *why = NULL;
    CHECK(message_decode((struct slice){CASES[i].bytes, CASES[i].size}, &m, &used, &why) == DECODE_BROKEN && why);
  }
}

static void lists(void) {
  struct buffer b;
  struct slice list, item;
  buffer_init(&b);
  list_add(&b, slice_of("one"));
  list_add(&b, slice_of(""));
  list = buffer_content(&b);
  CHECK(list_next(&list, &item) && slice_equal(item, slice_of("one")));
  CHECK(list_next(&list, &item) && item.size == 0);
  CHECK(!list_next(&list, &item));
  list = (struct slice){"\0\0\0\5x", 5};
  CHECK(!list_next(&list, &item));
  buffer_free(&b);
}

static void words(void) {
  struct options o;
  struct message m;
  struct buffer problem, text;
  bool from_input;
  char *good[] = {"-H", "db", "-j", "set", "k", "-", "5m"};
  char *wrong[][3] = {{"fly"}, {"get"}, {"set", "k"}, {"count", "x"}, {"expire", "k", "soon"}, {"add", "k", "much"}};
  int sizes[] = {1, 1, 2, 2, 3, 3};
  buffer_init(&problem);
  buffer_init(&text);
  options_init(&o);
  CHECK(options_parse(&o, 7, good, &problem) == 3 && o.json && strcmp(o.host, "db") == 0);
  CHECK(request_parse(4, good + 3, &m, &from_input, &problem) && from_input && m.number == 300000);
  for (int i = 0; i < 6; i++) CHECK(!request_parse(sizes[i], wrong[i], &m, &from_input, &problem));
  CHECK(!request_parse(0, NULL, &m, &from_input, &problem));
  CHECK(strstr(usage_text(), "watch PATTERN") != NULL);
  m = (struct message){.kind = STATUS_OK, .value = slice_of("a\"\n\x01")};
  print_answer(&text, OP_GET, &m, true);
  CHECK(slice_equal(buffer_content(&text), slice_of("{\"operation\":\"get\",\"ok\":true,\"value\":\"a\\\"\\n\\u0001\"}\n")));
  buffer_free(&problem);
  buffer_free(&text);
}

void test_codec(void) {
  round_trip();
  broken();
  lists();
  words();
  CHECK(operation_of("watch") == OP_WATCH && operation_of("fly") == 0);
  CHECK(strcmp(status_text(200), "an unknown status") == 0);
}
