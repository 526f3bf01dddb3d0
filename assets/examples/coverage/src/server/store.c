#include "server/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/glob.h"
#include "common/log.h"

/* What an item takes besides its bytes. */
enum { OVERHEAD = sizeof(struct item) + sizeof(struct table_entry) };

static size_t weight(size_t key_size, size_t value_size) { return OVERHEAD + 2 * key_size + value_size; }

static struct slice key_of(const struct item *item) { return (struct slice){item->key, item->key_size}; }

static void free_item(void *item) {
  struct item *i = item;
  free(i->key);
  free(i->value);
  free(i);
}

void store_init(struct store *s, size_t most, uint64_t seed) {
  memset(s, 0, sizeof *s);
  table_init(&s->items, seed);
  heap_init(&s->ends);
  s->most = most;
}

void store_free(struct store *s) {
  table_free(&s->items, free_item);
  heap_free(&s->ends);
  s->bytes = 0;
}

static void drop(struct store *s, struct item *item) {
  s->bytes -= weight(item->key_size, item->value_size);
  heap_drop(&s->ends, &item->ends);
  table_remove(&s->items, key_of(item));
  free_item(item);
}

struct item *store_get(struct store *s, struct slice key, int64_t now) {
  struct item *item = table_get(&s->items, key);
  if (item && item->ends.place != NOT_IN_HEAP && item->ends.at <= now) {
    drop(s, item);
    s->ended++;
    return NULL;
  }
  return item;
}

static bool fits(const struct store *s, size_t before, size_t after) {
  return s->most == 0 || s->bytes - before + after <= s->most;
}

static void set_end(struct store *s, struct item *item, int64_t end) {
  if (end == NO_END) {
    heap_drop(&s->ends, &item->ends);
  } else {
    heap_set(&s->ends, &item->ends, end);
  }
}

static struct item *new_item(struct store *s, struct slice key) {
  struct item *item = calloc(1, sizeof *item);
  if (!item) out_of_memory();
  item->ends.place = NOT_IN_HEAP;
  item->key = slice_copy(key);
  item->key_size = key.size;
  item->value = slice_copy((struct slice){NULL, 0});
  s->bytes += weight(key.size, 0);
  table_put(&s->items, key, item);
  return item;
}

static void set_value(struct store *s, struct item *item, struct slice value) {
  char *copy = slice_copy(value);
  free(item->value);
  s->bytes = s->bytes - item->value_size + value.size;
  item->value = copy;
  item->value_size = value.size;
}

enum status store_set(struct store *s, struct slice key, struct slice value, int64_t end, uint32_t flags, int64_t now) {
  struct item *item = store_get(s, key, now);
  if (key.size == 0) return STATUS_BAD_REQUEST;
  if (item && flags & FLAG_IF_ABSENT) return STATUS_EXISTS;
  if (!item && flags & FLAG_IF_PRESENT) return STATUS_NOT_FOUND;
  if (!fits(s, item ? weight(key.size, item->value_size) : 0, weight(key.size, value.size))) return STATUS_FULL;
  if (!item) item = new_item(s, key);
  set_value(s, item, value);
  if (!(flags & FLAG_KEEP_TTL)) set_end(s, item, end);
  return STATUS_OK;
}

enum status store_append(struct store *s, struct slice key, struct slice value, int64_t now) {
  struct item *item = store_get(s, key, now);
  struct buffer whole;
  if (!item) return store_set(s, key, value, NO_END, 0, now);
  if (!fits(s, 0, value.size)) return STATUS_FULL;
  buffer_init(&whole);
  buffer_add(&whole, item->value, item->value_size);
  buffer_add_slice(&whole, value);
  set_value(s, item, buffer_content(&whole));
  buffer_free(&whole);
  return STATUS_OK;
}

enum status store_add(struct store *s, struct slice key, int64_t step, int64_t *result, int64_t now) {
  struct item *item = store_get(s, key, now);
  int64_t number = 0;
  char text[24];
  if (item && !parse_number(item->value, &number)) return STATUS_NOT_A_NUMBER;
  if (__builtin_add_overflow(number, step, result)) return STATUS_NOT_A_NUMBER;
  snprintf(text, sizeof text, "%" PRId64, *result);
  return store_set(s, key, slice_of(text), NO_END, FLAG_KEEP_TTL, now);
}

bool store_delete(struct store *s, struct slice key, int64_t now) {
  struct item *item = store_get(s, key, now);
  if (!item) return false;
  drop(s, item);
  return true;
}

bool store_expire(struct store *s, struct slice key, int64_t end, int64_t now) {
  struct item *item = store_get(s, key, now);
  if (!item) return false;
  set_end(s, item, end);
  return true;
}

static int by_key(const void *a, const void *b) {
  const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
  size_t shorter = x->key_size < y->key_size ? x->key_size : y->key_size;
  int order = memcmp(x->key, y->key, shorter);
  return order != 0 ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

size_t store_keys(struct store *s, struct slice pattern, struct buffer *out, int64_t now) {
  struct item **found = malloc((s->items.count + 1) * sizeof(struct item *));
  size_t count = 0;
  if (!found) out_of_memory();
  for (struct table_entry *e = table_first(&s->items); e; e = table_next(&s->items, e)) {
    struct item *item = e->value;
    bool ended = item->ends.place != NOT_IN_HEAP && item->ends.at <= now;
    if (!ended && glob_matches(pattern, key_of(item))) found[count++] = item;
  }
  qsort(found, count, sizeof *found, by_key);
  for (size_t i = 0; i < count; i++) list_add(out, key_of(found[i]));
  free(found);
  return count;
}

char *store_end_one(struct store *s, int64_t now, size_t *key_size) {
  struct deadline *first = heap_first(&s->ends);
  struct item *item;
  char *key;
  if (!first || first->at > now) return NULL;
  /* The deadline is the item's first member. */
  item = (struct item *)first;
  key = slice_copy(key_of(item));
  *key_size = item->key_size;
  drop(s, item);
  s->ended++;
  return key;
}

int64_t store_next_end(const struct store *s, int64_t now) {
  const struct deadline *first = heap_first(&s->ends);
  if (!first) return -1;
  return first->at > now ? first->at - now : 0;
}
