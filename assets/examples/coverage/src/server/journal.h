/* The journal: every change as a record in a file, read again at the start.
 *
 *   u32 length, u32 CRC of the rest, then a message as the protocol has it, with an absolute end as its number
 *
 * A record that was cut off by a crash ends the journal; what follows it is dropped.
 */
#ifndef LARDER_JOURNAL_H
#define LARDER_JOURNAL_H

#include "server/store.h"

struct journal {
  int file;
  char *path;
  uint64_t bytes;   /* the file's size */
  uint64_t records; /* written since the last compaction */
  bool sync;        /* whether every record reaches the disk before it is answered */
};

/* Opens a journal and applies what is in it to a store. */
bool journal_open(struct journal *j, const char *path, bool sync, struct store *s, int64_t now, struct buffer *problem);
void journal_close(struct journal *j);
bool journal_set(struct journal *j, struct slice key, struct slice value, int64_t end);
bool journal_delete(struct journal *j, struct slice key);
/* Writes the store anew, without what was overwritten since. */
bool journal_compact(struct journal *j, struct store *s, int64_t now);
uint32_t journal_crc(struct slice data);

#endif
