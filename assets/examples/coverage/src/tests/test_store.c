#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/commands.h"
#include "tests/test.h"

static struct slice value_of(struct store *s, const char *key, int64_t now) {
  struct item *item = store_get(s, slice_of(key), now);
  return item ? (struct slice){item->value, item->value_size} : slice_of("(none)");
}

static void values(void) {
  struct store s;
  int64_t number = 0;
  store_init(&s, 0, 1);
  CHECK(store_set(&s, slice_of("a"), slice_of("1"), NO_END, 0, 0) == STATUS_OK);
  CHECK(store_set(&s, slice_of("a"), slice_of("2"), NO_END, FLAG_IF_ABSENT, 0) == STATUS_EXISTS);
  CHECK(store_set(&s, slice_of("b"), slice_of("2"), NO_END, FLAG_IF_PRESENT, 0) == STATUS_NOT_FOUND);
  CHECK(store_set(&s, slice_of(""), slice_of("2"), NO_END, 0, 0) == STATUS_BAD_REQUEST);
  CHECK(store_add(&s, slice_of("a"), 41, &number, 0) == STATUS_OK && number == 42);
  CHECK(store_add(&s, slice_of("a"), INT64_MAX, &number, 0) == STATUS_NOT_A_NUMBER);
  CHECK(store_append(&s, slice_of("a"), slice_of("!"), 0) == STATUS_OK && slice_equal(value_of(&s, "a", 0), slice_of("42!")));
  CHECK(store_add(&s, slice_of("a"), 1, &number, 0) == STATUS_NOT_A_NUMBER);
  CHECK(store_append(&s, slice_of("new"), slice_of("x"), 0) == STATUS_OK);
  CHECK(store_delete(&s, slice_of("a"), 0) && !store_delete(&s, slice_of("a"), 0));
  store_free(&s);
}

static void ends(void) {
  struct store s;
  struct buffer keys;
  size_t size = 0;
  char *key;
  store_init(&s, 0, 1);
  buffer_init(&keys);
  store_set(&s, slice_of("late"), slice_of("1"), 300, 0, 0);
  store_set(&s, slice_of("early"), slice_of("1"), 100, 0, 0);
  store_set(&s, slice_of("never"), slice_of("1"), NO_END, 0, 0);
  CHECK(store_next_end(&s, 40) == 60 && store_next_end(&s, 200) == 0);
  CHECK(store_keys(&s, slice_of("*"), &keys, 100) == 2);
  CHECK(store_end_one(&s, 99, &size) == NULL);
  key = store_end_one(&s, 100, &size);
  CHECK(key && strcmp(key, "early") == 0 && size == 5);
  free(key);
  CHECK(store_expire(&s, slice_of("late"), NO_END, 100) && store_next_end(&s, 100) == -1);
  CHECK(store_expire(&s, slice_of("late"), 200, 100) && store_get(&s, slice_of("late"), 200) == NULL);
  CHECK(s.ended == 2 && s.items.count == 1);
  buffer_free(&keys);
  store_free(&s);
}

static void limits(void) {
  struct store s;
  char big[4096];
  memset(big, 'x', sizeof big);
  store_init(&s, 2048, 1);
  CHECK(store_set(&s, slice_of("big"), (struct slice){big, sizeof big}, NO_END, 0, 0) == STATUS_FULL);
  CHECK(store_set(&s, slice_of("fits"), (struct slice){big, 1024}, NO_END, 0, 0) == STATUS_OK);
  CHECK(store_append(&s, slice_of("fits"), (struct slice){big, 1024}, 0) == STATUS_FULL);
  store_free(&s);
  CHECK(s.bytes == 0);
}

static void heaps(void) {
  struct heap h;
  struct deadline d[100];
  int64_t last = -1;
  heap_init(&h);
  for (int i = 0; i < 100; i++) {
    d[i] = (struct deadline){0, NOT_IN_HEAP};
    heap_set(&h, &d[i], (i * 37) % 100);
  }
  for (int i = 0; i < 100; i += 3) heap_drop(&h, &d[i]);
  for (int i = 1; i < 100; i += 3) heap_set(&h, &d[i], d[i].at + 50);
  while (heap_first(&h)) {
    struct deadline *first = heap_first(&h);
    CHECK(first->at >= last);
    last = first->at;
    heap_drop(&h, first);
  }
  heap_free(&h);
}

static void journals(void) {
  char path[] = "/tmp/larder-test.XXXXXX";
  struct store s;
  struct journal j;
  struct buffer problem;
  int file = mkstemp(path);
  buffer_init(&problem);
  close(file);
  store_init(&s, 0, 1);
  CHECK(journal_open(&j, path, false, &s, 0, &problem));
  CHECK(journal_set(&j, slice_of("a"), slice_of("1"), NO_END) && journal_set(&j, slice_of("b"), slice_of("2"), 500));
  CHECK(journal_set(&j, slice_of("c"), slice_of("3"), NO_END) && journal_delete(&j, slice_of("a")));
  CHECK(write(j.file, "half a rec", 10) == 10);
  journal_close(&j);
  CHECK(journal_open(&j, path, false, &s, 600, &problem));
  CHECK(s.items.count == 1 && slice_equal(value_of(&s, "c", 600), slice_of("3")));
  CHECK(journal_compact(&j, &s, 600) && j.records == 1);
  journal_close(&j);
  store_free(&s);
  CHECK(journal_crc(slice_of("123456789")) == 0xcbf43926U);
  unlink(path);
  buffer_free(&problem);
}

static void requests(void) {
  struct store s;
  struct commands c = {.store = &s, .read_only = true};
  struct message answer, request = {.kind = OP_SET, .key = slice_of("k"), .value = slice_of("v")};
  struct buffer scratch;
  store_init(&s, 0, 1);
  buffer_init(&scratch);
  CHECK(!commands_run(&c, &request, &answer, &scratch, 0).changed && answer.kind == STATUS_REFUSED);
  c.read_only = false;
  CHECK(commands_run(&c, &request, &answer, &scratch, 0).changed && answer.kind == STATUS_OK);
  request = (struct message){.kind = OP_KEYS, .key = slice_of("[")};
  commands_run(&c, &request, &answer, &scratch, 0);
  CHECK(answer.kind == STATUS_BAD_REQUEST);
  request = (struct message){.kind = 99};
  commands_run(&c, &request, &answer, &scratch, 0);
  CHECK(answer.kind == STATUS_BAD_REQUEST && c.statistics.refused == 3);
  buffer_free(&scratch);
  store_free(&s);
}

void test_store(void) {
  values();
  ends();
  limits();
  heaps();
  journals();
  requests();
}
