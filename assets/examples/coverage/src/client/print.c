#include "client/print.h"

#include <inttypes.h>
#include <string.h>

void print_json_string(struct buffer *out, struct slice text) {
  buffer_add_u8(out, '"');
  for (size_t i = 0; i < text.size; i++) {
    unsigned char byte = (unsigned char)text.data[i];
    switch (byte) {
      case '"':
        buffer_add_text(out, "\\\"");
        break;
      case '\\':
        buffer_add_text(out, "\\\\");
        break;
      case '\n':
        buffer_add_text(out, "\\n");
        break;
      case '\t':
        buffer_add_text(out, "\\t");
        break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          buffer_printf(out, "\\u%04x", byte);
        } else {
          buffer_add_u8(out, byte);
        }
    }
  }
  buffer_add_u8(out, '"');
}

static void json_keys(struct buffer *out, struct slice list) {
  struct slice key;
  bool first = true;
  buffer_add_text(out, ",\"keys\":[");
  while (list_next(&list, &key)) {
    if (!first) buffer_add_u8(out, ',');
    print_json_string(out, key);
    first = false;
  }
  buffer_add_u8(out, ']');
}

/* `name number' a line becomes an object. */
static void json_statistics(struct buffer *out, struct slice text) {
  size_t at = 0;
  bool first = true;
  buffer_add_text(out, ",\"statistics\":{");
  while (at < text.size) {
    const char *line = text.data + at, *end = memchr(line, '\n', text.size - at);
    size_t size = end ? (size_t)(end - line) : text.size - at;
    const char *blank = memchr(line, ' ', size);
    at += size + 1;
    if (!blank) continue;
    if (!first) buffer_add_u8(out, ',');
    print_json_string(out, (struct slice){line, (size_t)(blank - line)});
    buffer_add_u8(out, ':');
    buffer_add(out, blank + 1, size - (size_t)(blank - line) - 1);
    first = false;
  }
  buffer_add_u8(out, '}');
}

static void print_json(struct buffer *out, uint8_t operation, const struct message *answer) {
  buffer_add_text(out, "{\"operation\":");
  print_json_string(out, slice_of(operation_name(operation)));
  buffer_printf(out, ",\"ok\":%s", answer->kind == STATUS_OK ? "true" : "false");
  if (answer->kind != STATUS_OK) {
    buffer_add_text(out, ",\"problem\":");
    print_json_string(out, slice_of(status_text(answer->kind)));
  } else if (operation == OP_KEYS) {
    json_keys(out, answer->value);
  } else if (operation == OP_STATS) {
    json_statistics(out, answer->value);
  } else if (operation == OP_GET || answer->value.size > 0) {
    buffer_add_text(out, ",\"value\":");
    print_json_string(out, answer->value);
  }
  if (answer->has_number) {
    buffer_printf(out, ",\"%s\":%" PRId64, operation == OP_GET ? "ttl" : "number", answer->number);
  }
  buffer_add_text(out, "}\n");
}

static void print_lines(struct buffer *out, struct slice list) {
  struct slice item;
  while (list_next(&list, &item)) {
    buffer_add_slice(out, item);
    buffer_add_u8(out, '\n');
  }
}

void print_answer(struct buffer *out, uint8_t operation, const struct message *answer, bool json) {
  if (json) {
    print_json(out, operation, answer);
    return;
  }
  if (answer->kind != STATUS_OK) return;
  switch (operation) {
    case OP_KEYS:
      print_lines(out, answer->value);
      break;
    case OP_STATS:
      buffer_add_slice(out, answer->value);
      break;
    case OP_ADD:
    case OP_COUNT:
    case OP_COMPACT:
      buffer_printf(out, "%" PRId64 "\n", answer->number);
      break;
    case OP_PING:
      buffer_add_slice(out, answer->value.size > 0 ? answer->value : slice_of("pong"));
      buffer_add_u8(out, '\n');
      break;
    case OP_GET:
      buffer_add_slice(out, answer->value);
      buffer_add_u8(out, '\n');
      break;
    default:
      break;
  }
}

void print_event(struct buffer *out, const struct message *event, bool json) {
  if (!json) {
    buffer_printf(out, "%.*s %.*s\n", (int)event->value.size, event->value.data, (int)event->key.size, event->key.data);
    return;
  }
  buffer_add_text(out, "{\"event\":");
  print_json_string(out, event->value);
  buffer_add_text(out, ",\"key\":");
  print_json_string(out, event->key);
  buffer_add_text(out, "}\n");
}
