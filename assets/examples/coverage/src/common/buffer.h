/* Bytes that grow at the end and are consumed at the front. */
#ifndef LARDER_BUFFER_H
#define LARDER_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of memory that belongs to somebody else. */
struct slice {
  const char *data;
  size_t size;
};

struct buffer {
  char *data;
  size_t start; /* the first byte that is not consumed */
  size_t end;   /* behind the last byte */
  size_t room;
};

struct slice slice_of(const char *text);
bool slice_equal(struct slice a, struct slice b);
/* A copy with a NUL behind it, to be freed. */
char *slice_copy(struct slice s);

void buffer_init(struct buffer *b);
void buffer_free(struct buffer *b);
void buffer_clear(struct buffer *b);
size_t buffer_size(const struct buffer *b);
struct slice buffer_content(const struct buffer *b);
/* Makes room for that many bytes and gives where they may be written; buffer_wrote tells how many were. */
char *buffer_reserve(struct buffer *b, size_t size);
void buffer_wrote(struct buffer *b, size_t size);
void buffer_add(struct buffer *b, const void *data, size_t size);
void buffer_add_slice(struct buffer *b, struct slice s);
void buffer_add_text(struct buffer *b, const char *text);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_consume(struct buffer *b, size_t size);

void buffer_add_u8(struct buffer *b, uint8_t value);
void buffer_add_u32(struct buffer *b, uint32_t value);
void buffer_add_u64(struct buffer *b, uint64_t value);
uint32_t read_u32(const char *data);
uint64_t read_u64(const char *data);

#endif
