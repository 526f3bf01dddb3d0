#include "common/codec.h"

#include <string.h>

enum tag { TAG_KEY = 1, TAG_VALUE, TAG_NUMBER, TAG_FLAGS };

static const char *const OPERATIONS[] = {
    NULL, "ping", "get", "set", "delete", "expire", "add", "append", "keys", "count", "stats", "watch", "compact",
};

static const char *const STATUSES[] = {
    "ok",
    "there is no such key",
    "the key is there already",
    "the request makes no sense",
    "the value is not a number",
    "the store is full",
    "the server refuses this",
    "something has changed",
};

const char *operation_name(uint8_t operation) {
  return operation >= OP_PING && operation <= OP_LAST ? OPERATIONS[operation] : "unknown";
}

uint8_t operation_of(const char *name) {
  for (uint8_t i = OP_PING; i <= OP_LAST; i++) {
    if (strcmp(OPERATIONS[i], name) == 0) return i;
  }
  return 0;
}

const char *status_text(uint8_t status) {
  return status >= STATUS_OK && status <= STATUS_LAST ? STATUSES[status - STATUS_OK] : "an unknown status";
}

static void add_field(struct buffer *out, enum tag tag, struct slice content) {
  buffer_add_u8(out, (uint8_t)tag);
  buffer_add_u32(out, (uint32_t)content.size);
  buffer_add_slice(out, content);
}

void message_encode(struct buffer *out, const struct message *m) {
  struct buffer fields;
  buffer_init(&fields);
  if (m->key.size > 0) add_field(&fields, TAG_KEY, m->key);
  if (m->value.size > 0) add_field(&fields, TAG_VALUE, m->value);
  if (m->has_number) {
    buffer_add_u8(&fields, TAG_NUMBER);
    buffer_add_u32(&fields, 8);
    buffer_add_u64(&fields, (uint64_t)m->number);
  }
  if (m->flags != 0) {
    buffer_add_u8(&fields, TAG_FLAGS);
    buffer_add_u32(&fields, 4);
    buffer_add_u32(&fields, m->flags);
  }
  buffer_add_u32(out, (uint32_t)(buffer_size(&fields) + HEADER_SIZE - 4));
  buffer_add_u8(out, PROTOCOL_VERSION);
  buffer_add_u8(out, m->kind);
  buffer_add_u32(out, m->id);
  buffer_add_slice(out, buffer_content(&fields));
  buffer_free(&fields);
}

static bool take_field(struct message *m, uint8_t tag, struct slice content, const char **why) {
  switch (tag) {
    case TAG_KEY:
      if (content.size > KEY_MAX) {
        *why = "a key is too long";
        return false;
      }
      m->key = content;
      return true;
    case TAG_VALUE:
      m->value = content;
      return true;
    case TAG_NUMBER:
      if (content.size != 8) {
        *why = "a number has the wrong size";
        return false;
      }
      m->number = (int64_t)read_u64(content.data);
      m->has_number = true;
      return true;
    case TAG_FLAGS:
      if (content.size != 4) {
        *why = "flags have the wrong size";
        return false;
      }
      m->flags = read_u32(content.data);
      return true;
    default:
      return true;
  }
}

enum decoded message_decode(struct slice in, struct message *m, size_t *used, const char **why) {
  size_t length, at = HEADER_SIZE;
  memset(m, 0, sizeof *m);
  if (in.size < 4) return DECODE_MORE;
  length = read_u32(in.data);
  if (length < HEADER_SIZE - 4 || length > FRAME_MAX) {
    *why = "a frame has an impossible length";
    return DECODE_BROKEN;
  }
  if (in.size < 4 + length) return DECODE_MORE;
  if (in.data[4] != PROTOCOL_VERSION) {
    *why = "a frame is of another version of the protocol";
    return DECODE_BROKEN;
  }
  m->kind = (uint8_t)in.data[5];
  m->id = read_u32(in.data + 6);
  while (at < 4 + length) {
    struct slice content;
    uint8_t tag = (uint8_t)in.data[at];
    if (4 + length - at < 5 || read_u32(in.data + at + 1) > 4 + length - at - 5) {
      *why = "a field does not fit into its frame";
      return DECODE_BROKEN;
    }
    content = (struct slice){in.data + at + 5, read_u32(in.data + at + 1)};
    if (!take_field(m, tag, content, why)) return DECODE_BROKEN;
    at += 5 + content.size;
  }
  *used = 4 + length;
  return DECODED;
}

void list_add(struct buffer *out, struct slice item) {
  buffer_add_u32(out, (uint32_t)item.size);
  buffer_add_slice(out, item);
}

bool list_next(struct slice *list, struct slice *item) {
  uint32_t size;
  if (list->size < 4) return false;
  size = read_u32(list->data);
  if (size > list->size - 4) return false;
  *item = (struct slice){list->data + 4, size};
  list->data += 4 + size;
  list->size -= 4 + size;
  return true;
}
