#include "common/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum { FIRST_SLOTS = 16 };

uint64_t table_hash(struct slice key, uint64_t seed) {
  /* FNV-1a, and a finish that carries every bit to the low ones. */
  uint64_t hash = 14695981039346656037ULL ^ seed;
  for (size_t i = 0; i < key.size; i++) hash = (hash ^ (unsigned char)key.data[i]) * 1099511628211ULL;
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  return hash ^ hash >> 29;
}

void table_init(struct table *t, uint64_t seed) {
  memset(t, 0, sizeof *t);
  t->seed = seed;
}

void table_free(struct table *t, void (*free_value)(void *)) {
  for (size_t i = 0; i < t->slot_count; i++) {
    struct table_entry *entry = t->slots[i];
    while (entry) {
      struct table_entry *next = entry->next;
      if (free_value) free_value(entry->value);
      free(entry);
      entry = next;
    }
  }
  free(t->slots);
  table_init(t, t->seed);
}

static struct table_entry **slot_of(const struct table *t, uint64_t hash) {
  return &t->slots[hash & (t->slot_count - 1)];
}

/* The place that leads to the entry of a key, or where it would be added. */
static struct table_entry **place_of(const struct table *t, struct slice key, uint64_t hash) {
  struct table_entry **place = slot_of(t, hash);
  while (*place) {
    struct table_entry *entry = *place;
    if (entry->hash == hash && slice_equal((struct slice){entry->key, entry->key_size}, key)) break;
    place = &entry->next;
  }
  return place;
}

static void resize(struct table *t, size_t slot_count) {
  struct table_entry **old = t->slots;
  size_t old_count = t->slot_count;
  t->slots = calloc(slot_count, sizeof *t->slots);
  if (!t->slots) out_of_memory();
  t->slot_count = slot_count;
  for (size_t i = 0; i < old_count; i++) {
    struct table_entry *entry = old[i];
    while (entry) {
      struct table_entry *next = entry->next;
      struct table_entry **slot = slot_of(t, entry->hash);
      entry->next = *slot;
      *slot = entry;
      entry = next;
    }
  }
  free(old);
}

void *table_get(const struct table *t, struct slice key) {
  struct table_entry *entry;
  if (t->slot_count == 0) return NULL;
  entry = *place_of(t, key, table_hash(key, t->seed));
  return entry ? entry->value : NULL;
}

void *table_put(struct table *t, struct slice key, void *value) {
  uint64_t hash = table_hash(key, t->seed);
  struct table_entry **place, *entry;
  void *before;
  if (t->count >= t->slot_count - t->slot_count / 4) resize(t, t->slot_count > 0 ? t->slot_count * 2 : FIRST_SLOTS);
  place = place_of(t, key, hash);
  if (*place) {
    before = (*place)->value;
    (*place)->value = value;
    return before;
  }
  entry = malloc(sizeof *entry + key.size);
  if (!entry) out_of_memory();
  *entry = (struct table_entry){.hash = hash, .value = value, .key_size = key.size};
  if (key.size > 0) memcpy(entry->key, key.data, key.size);
  *place = entry;
  t->count++;
  return NULL;
}

void *table_remove(struct table *t, struct slice key) {
  struct table_entry **place, *entry;
  void *value;
  if (t->slot_count == 0) return NULL;
  place = place_of(t, key, table_hash(key, t->seed));
  entry = *place;
  if (!entry) return NULL;
  value = entry->value;
  *place = entry->next;
  free(entry);
  t->count--;
  if (t->slot_count > FIRST_SLOTS && t->count < t->slot_count / 8) resize(t, t->slot_count / 2);
  return value;
}

static struct table_entry *first_from(const struct table *t, size_t slot) {
  for (; slot < t->slot_count; slot++) {
    if (t->slots[slot]) return t->slots[slot];
  }
  return NULL;
}

struct table_entry *table_first(const struct table *t) { return first_from(t, 0); }

struct table_entry *table_next(const struct table *t, const struct table_entry *entry) {
  if (entry->next) return entry->next;
  return first_from(t, (entry->hash & (t->slot_count - 1)) + 1);
}
