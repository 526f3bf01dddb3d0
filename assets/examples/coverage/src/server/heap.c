#include "server/heap.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void heap_init(struct heap *h) { memset(h, 0, sizeof *h); }

void heap_free(struct heap *h) {
  free(h->items);
  heap_init(h);
}

static void put(struct heap *h, size_t place, struct deadline *d) {
  h->items[place] = d;
  d->place = (long)place;
}

static void rise(struct heap *h, size_t place) {
  struct deadline *d = h->items[place];
  while (place > 0 && h->items[(place - 1) / 2]->at > d->at) {
    put(h, place, h->items[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  put(h, place, d);
}

static void sink(struct heap *h, size_t place) {
  struct deadline *d = h->items[place];
  for (;;) {
    size_t child = 2 * place + 1;
    if (child >= h->count) break;
    if (child + 1 < h->count && h->items[child + 1]->at < h->items[child]->at) child++;
    if (h->items[child]->at >= d->at) break;
    put(h, place, h->items[child]);
    place = child;
  }
  put(h, place, d);
}

void heap_set(struct heap *h, struct deadline *d, int64_t at) {
  int64_t before = d->at;
  d->at = at;
  if (d->place == NOT_IN_HEAP) {
    if (h->count == h->room) {
      size_t room = h->room > 0 ? h->room * 2 : 16;
      struct deadline **items = realloc(h->items, room * sizeof *items);
      if (!items) out_of_memory();
      h->items = items;
      h->room = room;
    }
    put(h, h->count++, d);
    rise(h, h->count - 1);
  } else if (at < before) {
    rise(h, (size_t)d->place);
  } else {
    sink(h, (size_t)d->place);
  }
}

void heap_drop(struct heap *h, struct deadline *d) {
  size_t place;
  struct deadline *last;
  if (d->place == NOT_IN_HEAP) return;
  place = (size_t)d->place;
  last = h->items[--h->count];
  d->place = NOT_IN_HEAP;
  if (last == d) return;
  put(h, place, last);
  rise(h, place);
  sink(h, (size_t)last->place);
}

struct deadline *heap_first(const struct heap *h) { return h->count > 0 ? h->items[0] : NULL; }
