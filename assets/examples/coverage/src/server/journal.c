#include "server/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

enum { RECORD_HEADER = 8, PIECE = 64 << 10 };

uint32_t journal_crc(struct slice data) {
  uint32_t crc = 0xffffffffU;
  for (size_t i = 0; i < data.size; i++) {
    crc ^= (unsigned char)data.data[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
  }
  return ~crc;
}

static bool write_all(int file, struct slice data) {
  while (data.size > 0) {
    ssize_t wrote = write(file, data.data, data.size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    data.data += wrote;
    data.size -= (size_t)wrote;
  }
  return true;
}

static void add_record(struct buffer *out, const struct message *m) {
  struct buffer body;
  buffer_init(&body);
  message_encode(&body, m);
  buffer_add_u32(out, (uint32_t)buffer_size(&body));
  buffer_add_u32(out, journal_crc(buffer_content(&body)));
  buffer_add_slice(out, buffer_content(&body));
  buffer_free(&body);
}

static void apply(struct store *s, const struct message *m, int64_t now) {
  if (m->kind == OP_DELETE) {
    store_delete(s, m->key, now);
  } else if (m->has_number && m->number <= now) {
    /* It has ended while the server was off. */
    store_delete(s, m->key, now);
  } else {
    store_set(s, m->key, m->value, m->has_number ? m->number : NO_END, 0, now);
  }
}

/* Applies the records at the front of some bytes; gives how many bytes were whole records. */
static size_t replay(struct store *s, struct slice data, int64_t now, uint64_t *records) {
  size_t done = 0;
  while (data.size - done >= RECORD_HEADER) {
    size_t size = read_u32(data.data + done), used = 0;
    struct slice body = {data.data + done + RECORD_HEADER, size};
    struct message m;
    const char *why;
    if (size > data.size - done - RECORD_HEADER) break;
    if (journal_crc(body) != read_u32(data.data + done + 4)) break;
    if (message_decode(body, &m, &used, &why) != DECODED || used != size) break;
    apply(s, &m, now);
    (*records)++;
    done += RECORD_HEADER + size;
  }
  return done;
}

static bool read_file(int file, struct buffer *content) {
  for (;;) {
    ssize_t got = read(file, buffer_reserve(content, PIECE), PIECE);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return true;
    buffer_wrote(content, (size_t)got);
  }
}

bool journal_open(struct journal *j, const char *path, bool sync, struct store *s, int64_t now, struct buffer *problem) {
  struct buffer content;
  size_t whole;
  memset(j, 0, sizeof *j);
  j->path = slice_copy(slice_of(path));
  j->sync = sync;
  j->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  buffer_init(&content);
  if (j->file < 0 || !read_file(j->file, &content)) {
    buffer_printf(problem, "%s: %s", path, strerror(errno));
    buffer_free(&content);
    journal_close(j);
    return false;
  }
  whole = replay(s, buffer_content(&content), now, &j->records);
  if (whole < buffer_size(&content)) {
    log_warning("%s: the last %zu bytes are no whole record and are dropped", path, buffer_size(&content) - whole);
    if (ftruncate(j->file, (off_t)whole) != 0) log_error("%s: %s", path, strerror(errno));
  }
  lseek(j->file, (off_t)whole, SEEK_SET);
  j->bytes = whole;
  buffer_free(&content);
  return true;
}

void journal_close(struct journal *j) {
  if (j->file >= 0) {
    fsync(j->file);
    close(j->file);
  }
  j->file = -1;
  free(j->path);
  j->path = NULL;
}

static bool append(struct journal *j, const struct message *m) {
  struct buffer record;
  bool good;
  buffer_init(&record);
  add_record(&record, m);
  good = write_all(j->file, buffer_content(&record)) && (!j->sync || fdatasync(j->file) == 0);
  if (good) {
    j->bytes += buffer_size(&record);
    j->records++;
  } else {
    log_error("%s: %s", j->path, strerror(errno));
    /* Half a record would end the journal for what is written later. */
    if (ftruncate(j->file, (off_t)j->bytes) == 0) lseek(j->file, (off_t)j->bytes, SEEK_SET);
  }
  buffer_free(&record);
  return good;
}

bool journal_set(struct journal *j, struct slice key, struct slice value, int64_t end) {
  struct message m = {.kind = OP_SET, .key = key, .value = value, .number = end, .has_number = end != NO_END};
  return append(j, &m);
}

bool journal_delete(struct journal *j, struct slice key) {
  struct message m = {.kind = OP_DELETE, .key = key};
  return append(j, &m);
}

bool journal_compact(struct journal *j, struct store *s, int64_t now) {
  struct buffer path, records;
  uint64_t bytes = 0, count = 0;
  int file;
  bool good;
  buffer_init(&path);
  buffer_init(&records);
  buffer_printf(&path, "%s.new", j->path);
  buffer_add_u8(&path, 0);
  file = open(buffer_content(&path).data, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  good = file >= 0;
  for (struct table_entry *e = table_first(&s->items); good && e; e = table_next(&s->items, e)) {
    struct item *item = e->value;
    bool ends = item->ends.place != NOT_IN_HEAP;
    struct message m = {
        .kind = OP_SET,
        .key = {item->key, item->key_size},
        .value = {item->value, item->value_size},
        .number = ends ? item->ends.at : 0,
        .has_number = ends,
    };
    if (ends && item->ends.at <= now) continue;
    add_record(&records, &m);
    count++;
    if (buffer_size(&records) >= PIECE) {
      bytes += buffer_size(&records);
      good = write_all(file, buffer_content(&records));
      buffer_clear(&records);
    }
  }
  bytes += buffer_size(&records);
  good = good && write_all(file, buffer_content(&records)) && fsync(file) == 0 &&
         rename(buffer_content(&path).data, j->path) == 0;
  if (good) {
    close(j->file);
    j->file = file;
    j->bytes = bytes;
    j->records = count;
  } else {
    log_error("%s cannot be compacted: %s", j->path, strerror(errno));
    if (file >= 0) close(file);
    unlink(buffer_content(&path).data);
  }
  buffer_free(&path);
  buffer_free(&records);
  return good;
}
