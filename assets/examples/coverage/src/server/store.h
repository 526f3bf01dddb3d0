/* The store: keys, values, and when they end. Time is an argument, and nothing here does any I/O. */
#ifndef LARDER_STORE_H
#define LARDER_STORE_H

#include "common/codec.h"
#include "common/table.h"
#include "server/heap.h"

struct item {
  struct deadline ends; /* when, if it is in the heap */
  char *key;
  size_t key_size;
  char *value;
  size_t value_size;
};

struct store {
  struct table items;
  struct heap ends;
  size_t bytes;   /* what keys and values take */
  size_t most;    /* what they may take; zero for no limit */
  uint64_t ended; /* how many have ended by their time */
};

enum { NO_END = 0 };

void store_init(struct store *s, size_t most, uint64_t seed);
void store_free(struct store *s);
/* The item of a key, or nothing when there is none or its time has come. */
struct item *store_get(struct store *s, struct slice key, int64_t now);
/* Sets a value that ends at a time; flags are those of the protocol. */
enum status store_set(struct store *s, struct slice key, struct slice value, int64_t end, uint32_t flags, int64_t now);
enum status store_append(struct store *s, struct slice key, struct slice value, int64_t now);
/* Adds a number to a value that is one; a missing value counts as zero. */
enum status store_add(struct store *s, struct slice key, int64_t step, int64_t *result, int64_t now);
bool store_delete(struct store *s, struct slice key, int64_t now);
bool store_expire(struct store *s, struct slice key, int64_t end, int64_t now);
/* Writes the keys that match a pattern as a list, in the order of their bytes. */
size_t store_keys(struct store *s, struct slice pattern, struct buffer *out, int64_t now);
/* Removes one item whose time has come and tells its key, which is to be freed; nothing when there is none. */
char *store_end_one(struct store *s, int64_t now, size_t *key_size);
/* Milliseconds until an item ends, or -1. */
int64_t store_next_end(const struct store *s, int64_t now);

#endif
