/* The client's command line: words in, a request out. No I/O. */
#ifndef LARDER_WORDS_H
#define LARDER_WORDS_H

#include "common/codec.h"

struct options {
  const char *host;
  const char *port;
  int64_t patience; /* milliseconds to wait for an answer */
  bool json;
  bool quiet;
  int64_t events; /* how many events to wait for; zero for all that come */
};

void options_init(struct options *o);
/* Reads options at the front; gives how many words they were, or -1. */
int options_parse(struct options *o, int count, char **words, struct buffer *problem);
/* Reads a command; slices lead into the words. A value `-' stands for what is read from standard input. */
bool request_parse(int count, char **words, struct message *request, bool *value_from_input, struct buffer *problem);
const char *usage_text(void);

#endif
