/* A heap of deadlines: the earliest is always at hand. An owner keeps the place of its deadline, to move or drop it. */
#ifndef LARDER_HEAP_H
#define LARDER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOT_IN_HEAP = -1 };

struct deadline {
  int64_t at;
  long place; /* NOT_IN_HEAP, or kept by the heap */
};

struct heap {
  struct deadline **items;
  size_t count, room;
};

void heap_init(struct heap *h);
void heap_free(struct heap *h);
/* Adds a deadline, or moves it when it is there already. */
void heap_set(struct heap *h, struct deadline *d, int64_t at);
void heap_drop(struct heap *h, struct deadline *d);
struct deadline *heap_first(const struct heap *h);

#endif
