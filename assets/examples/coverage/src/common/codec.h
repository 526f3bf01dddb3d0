/* The protocol: frames of requests and answers.
 *
 *   u32 length of the rest, u8 version, u8 kind, u32 id, then fields: u8 tag, u32 length, bytes
 *
 * Numbers are big-endian. A field that a reader does not know is skipped, so that both sides may be of different age.
 */
#ifndef LARDER_CODEC_H
#define LARDER_CODEC_H

#include "common/buffer.h"

enum { PROTOCOL_VERSION = 1, HEADER_SIZE = 10, FRAME_MAX = 8 << 20, KEY_MAX = 1024 };

enum operation {
  OP_PING = 1,
  OP_GET,
  OP_SET,
  OP_DELETE,
  OP_EXPIRE,
  OP_ADD,
  OP_APPEND,
  OP_KEYS,
  OP_COUNT,
  OP_STATS,
  OP_WATCH,
  OP_COMPACT,
  OP_LAST = OP_COMPACT
};

enum status {
  STATUS_OK = 128,
  STATUS_NOT_FOUND,
  STATUS_EXISTS,
  STATUS_BAD_REQUEST,
  STATUS_NOT_A_NUMBER,
  STATUS_FULL,
  STATUS_REFUSED,
  STATUS_EVENT,
  STATUS_LAST = STATUS_EVENT
};

enum flag { FLAG_IF_ABSENT = 1, FLAG_IF_PRESENT = 2, FLAG_KEEP_TTL = 4 };

/* A request or an answer; what is absent is empty or zero. Slices lead into the buffer that was read. */
struct message {
  uint8_t kind; /* an operation or a status */
  uint32_t id;
  struct slice key;
  struct slice value;
  int64_t number; /* a time to live in milliseconds, a step, a count */
  bool has_number;
  uint32_t flags;
};

enum decoded { DECODED, DECODE_MORE, DECODE_BROKEN };

void message_encode(struct buffer *out, const struct message *m);
/* Takes the first message of some bytes; `used' is its size. What is wrong is told in `why'. */
enum decoded message_decode(struct slice in, struct message *m, size_t *used, const char **why);

/* A list of byte strings inside a value. */
void list_add(struct buffer *out, struct slice item);
bool list_next(struct slice *list, struct slice *item);

const char *operation_name(uint8_t operation);
uint8_t operation_of(const char *name);
const char *status_text(uint8_t status);

#endif
