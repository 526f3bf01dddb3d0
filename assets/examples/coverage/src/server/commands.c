#include "server/commands.h"

#include <inttypes.h>
#include <string.h>

#include "common/glob.h"
#include "common/log.h"

typedef enum status command(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now);

static int64_t end_of(const struct item *item) { return item->ends.place == NOT_IN_HEAP ? NO_END : item->ends.at; }

/* Tells the journal what a key holds now; a change that cannot be written down is not acknowledged. */
static enum status journaled(struct commands *c, struct slice key, int64_t now) {
  struct item *item = store_get(c->store, key, now);
  bool good;
  if (!c->journal) return STATUS_OK;
  good = item ? journal_set(c->journal, key, (struct slice){item->value, item->value_size}, end_of(item))
              : journal_delete(c->journal, key);
  if (good && (int64_t)c->journal->records >= c->compact_after && c->journal->records > 2 * c->store->items.count) {
    log_info("compacting the journal of %" PRIu64 " records", c->journal->records);
    good = journal_compact(c->journal, c->store, now);
  }
  return good ? STATUS_OK : STATUS_REFUSED;
}

static int64_t lives_until(const struct commands *c, const struct message *q, int64_t now) {
  if (q->has_number) return q->number > 0 ? now + q->number : NO_END;
  return c->default_ttl > 0 ? now + c->default_ttl : NO_END;
}

static enum status run_ping(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  (void)c, (void)scratch, (void)now;
  a->value = q->value;
  return STATUS_OK;
}

static enum status run_get(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  struct item *item = store_get(c->store, q->key, now);
  (void)scratch;
  if (!item) {
    c->statistics.misses++;
    return STATUS_NOT_FOUND;
  }
  c->statistics.hits++;
  a->value = (struct slice){item->value, item->value_size};
  if (item->ends.place != NOT_IN_HEAP) {
    a->number = item->ends.at - now;
    a->has_number = true;
  }
  return STATUS_OK;
}

static enum status run_set(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  enum status status = store_set(c->store, q->key, q->value, lives_until(c, q, now), q->flags, now);
  (void)a, (void)scratch;
  return status == STATUS_OK ? journaled(c, q->key, now) : status;
}

static enum status run_delete(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  (void)a, (void)scratch;
  return store_delete(c->store, q->key, now) ? journaled(c, q->key, now) : STATUS_NOT_FOUND;
}

static enum status run_expire(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  (void)a, (void)scratch;
  if (!q->has_number || q->number < 0) return STATUS_BAD_REQUEST;
  if (!store_expire(c->store, q->key, q->number > 0 ? now + q->number : NO_END, now)) return STATUS_NOT_FOUND;
  return journaled(c, q->key, now);
}

static enum status run_add(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  enum status status = store_add(c->store, q->key, q->has_number ? q->number : 1, &a->number, now);
  (void)scratch;
  if (status != STATUS_OK) return status;
  a->has_number = true;
  return journaled(c, q->key, now);
}

static enum status run_append(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  enum status status = store_append(c->store, q->key, q->value, now);
  (void)a, (void)scratch;
  return status == STATUS_OK ? journaled(c, q->key, now) : status;
}

static enum status run_keys(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  struct slice pattern = q->key.size > 0 ? q->key : slice_of("*");
  if (!glob_is_sound(pattern)) return STATUS_BAD_REQUEST;
  a->number = (int64_t)store_keys(c->store, pattern, scratch, now);
  a->has_number = true;
  a->value = buffer_content(scratch);
  return STATUS_OK;
}

static enum status run_count(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  (void)q, (void)scratch, (void)now;
  a->number = (int64_t)c->store->items.count;
  a->has_number = true;
  return STATUS_OK;
}

static enum status run_stats(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  const struct statistics *s = &c->statistics;
  (void)q;
  buffer_printf(scratch, "uptime %" PRId64 "\nkeys %zu\nbytes %zu\nended %" PRIu64 "\n", (now - s->started) / 1000,
                c->store->items.count, c->store->bytes, c->store->ended);
  buffer_printf(scratch, "requests %" PRIu64 "\nrefused %" PRIu64 "\nhits %" PRIu64 "\nmisses %" PRIu64 "\n", s->requests,
                s->refused, s->hits, s->misses);
  buffer_printf(scratch, "connections %" PRIu64 "\nclients %" PRIu64 "\nevents %" PRIu64 "\n", s->connections, s->clients, s->events);
  if (c->journal) {
    buffer_printf(scratch, "journal-bytes %" PRIu64 "\njournal-records %" PRIu64 "\n", c->journal->bytes, c->journal->records);
  }
  a->value = buffer_content(scratch);
  return STATUS_OK;
}

static enum status run_watch(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  (void)c, (void)a, (void)scratch, (void)now;
  return q->key.size > 0 && glob_is_sound(q->key) ? STATUS_OK : STATUS_BAD_REQUEST;
}

static enum status run_compact(struct commands *c, const struct message *q, struct message *a, struct buffer *scratch, int64_t now) {
  (void)q, (void)scratch;
  if (!c->journal) return STATUS_REFUSED;
  if (!journal_compact(c->journal, c->store, now)) return STATUS_REFUSED;
  a->number = (int64_t)c->journal->records;
  a->has_number = true;
  return STATUS_OK;
}

static const struct {
  command *run;
  bool changes, needs_key;
} COMMANDS[OP_LAST + 1] = {
    [OP_PING] = {run_ping, false, false},     [OP_GET] = {run_get, false, true},
    [OP_SET] = {run_set, true, true},         [OP_DELETE] = {run_delete, true, true},
    [OP_EXPIRE] = {run_expire, true, true},   [OP_ADD] = {run_add, true, true},
    [OP_APPEND] = {run_append, true, true},   [OP_KEYS] = {run_keys, false, false},
    [OP_COUNT] = {run_count, false, false},   [OP_STATS] = {run_stats, false, false},
    [OP_WATCH] = {run_watch, false, true},    [OP_COMPACT] = {run_compact, false, false},
};

struct outcome commands_run(struct commands *c, const struct message *request, struct message *answer,
                            struct buffer *scratch, int64_t now) {
  uint8_t operation = request->kind;
  bool known = operation >= OP_PING && operation <= OP_LAST;
  enum status status;
  memset(answer, 0, sizeof *answer);
  answer->id = request->id;
  buffer_clear(scratch);
  c->statistics.requests++;
  if (!known || (COMMANDS[operation].needs_key && request->key.size == 0)) {
    status = STATUS_BAD_REQUEST;
  } else if (COMMANDS[operation].changes && c->read_only) {
    status = STATUS_REFUSED;
  } else {
    status = COMMANDS[operation].run(c, request, answer, scratch, now);
  }
  answer->kind = (uint8_t)status;
  if (status == STATUS_BAD_REQUEST || status == STATUS_REFUSED) {
    c->statistics.refused++;
    log_debug("%s is refused: %s", operation_name(operation), status_text((uint8_t)status));
  }
  return (struct outcome){
      .watches = status == STATUS_OK && operation == OP_WATCH,
      .changed = status == STATUS_OK && known && COMMANDS[operation].changes,
  };
}
