/* A hash table from byte strings to pointers. Removing while walking is not allowed; collect the keys first. */
#ifndef LARDER_TABLE_H
#define LARDER_TABLE_H

#include "common/buffer.h"

struct table_entry {
  struct table_entry *next;
  uint64_t hash;
  void *value;
  size_t key_size;
  char key[];
};

struct table {
  struct table_entry **slots;
  size_t slot_count; /* a power of two, or zero */
  size_t count;
  uint64_t seed;
};

/* The seed makes the order of the slots one that nobody outside can guess. */
void table_init(struct table *t, uint64_t seed);
void table_free(struct table *t, void (*free_value)(void *));
void *table_get(const struct table *t, struct slice key);
/* Gives the value that was there before. */
void *table_put(struct table *t, struct slice key, void *value);
void *table_remove(struct table *t, struct slice key);
struct table_entry *table_first(const struct table *t);
struct table_entry *table_next(const struct table *t, const struct table_entry *entry);
uint64_t table_hash(struct slice key, uint64_t seed);

#endif
