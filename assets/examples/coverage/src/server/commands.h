/* What requests mean: each changes the store, tells the journal, and is answered. */
#ifndef LARDER_COMMANDS_H
#define LARDER_COMMANDS_H

#include "server/journal.h"

struct statistics {
  uint64_t requests, refused, hits, misses, connections, events;
  uint64_t clients; /* now */
  int64_t started;
};

struct commands {
  struct store *store;
  struct journal *journal; /* or nothing */
  struct statistics statistics;
  int64_t default_ttl;
  int64_t compact_after;
  bool read_only;
};

/* What a request has done besides its answer. */
struct outcome {
  bool watches; /* the client wants to hear of keys that match the request's key */
  bool changed; /* the request's key has changed */
};

/* Answers a request: the answer's slices lead into `scratch' or the store, until the next request. */
struct outcome commands_run(struct commands *c, const struct message *request, struct message *answer,
                            struct buffer *scratch, int64_t now);

#endif
