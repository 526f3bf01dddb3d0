#include "common/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum { SMALLEST = 256 };

struct slice slice_of(const char *text) { return (struct slice){text, strlen(text)}; }

bool slice_equal(struct slice a, struct slice b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

char *slice_copy(struct slice s) {
  char *copy = malloc(s.size + 1);
  if (!copy) out_of_memory();
  if (s.size > 0) memcpy(copy, s.data, s.size);
  copy[s.size] = '\0';
  return copy;
}

void buffer_init(struct buffer *b) { memset(b, 0, sizeof *b); }

void buffer_free(struct buffer *b) {
  free(b->data);
  buffer_init(b);
}

void buffer_clear(struct buffer *b) { b->start = b->end = 0; }

size_t buffer_size(const struct buffer *b) { return b->end - b->start; }

struct slice buffer_content(const struct buffer *b) { return (struct slice){b->data + b->start, buffer_size(b)}; }

char *buffer_reserve(struct buffer *b, size_t size) {
  size_t used = buffer_size(b);
  if (b->end + size <= b->room) return b->data + b->end;
  if (b->start > 0 && used + size <= b->room) {
    memmove(b->data, b->data + b->start, used);
  } else {
    size_t room = b->room > 0 ? b->room : SMALLEST;
    char *data;
    while (room < used + size) room *= 2;
    data = malloc(room);
    if (!data) out_of_memory();
    if (used > 0) memcpy(data, b->data + b->start, used);
    free(b->data);
    b->data = data;
    b->room = room;
  }
  b->start = 0;
  b->end = used;
  return b->data + b->end;
}

void buffer_wrote(struct buffer *b, size_t size) { b->end += size; }

void buffer_add(struct buffer *b, const void *data, size_t size) {
  if (size == 0) return;
  memcpy(buffer_reserve(b, size), data, size);
  buffer_wrote(b, size);
}

void buffer_add_slice(struct buffer *b, struct slice s) { buffer_add(b, s.data, s.size); }

void buffer_add_text(struct buffer *b, const char *text) { buffer_add(b, text, strlen(text)); }

void buffer_printf(struct buffer *b, const char *format, ...) {
  va_list words, again;
  int size;
  va_start(words, format);
  va_copy(again, words);
  size = vsnprintf(NULL, 0, format, words);
  if (size > 0) {
    vsnprintf(buffer_reserve(b, (size_t)size + 1), (size_t)size + 1, format, again);
    buffer_wrote(b, (size_t)size);
  }
  va_end(again);
  va_end(words);
}

void buffer_consume(struct buffer *b, size_t size) {
  b->start += size;
  if (b->start >= b->end) buffer_clear(b);
}

void buffer_add_u8(struct buffer *b, uint8_t value) { buffer_add(b, &value, 1); }

void buffer_add_u32(struct buffer *b, uint32_t value) {
  unsigned char bytes[4];
  for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)(value >> (24 - 8 * i));
  buffer_add(b, bytes, sizeof bytes);
}

void buffer_add_u64(struct buffer *b, uint64_t value) {
  buffer_add_u32(b, (uint32_t)(value >> 32));
  buffer_add_u32(b, (uint32_t)value);
}

uint32_t read_u32(const char *data) {
  const unsigned char *bytes = (const unsigned char *)data;
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint64_t read_u64(const char *data) { return (uint64_t)read_u32(data) << 32 | read_u32(data + 4); }
