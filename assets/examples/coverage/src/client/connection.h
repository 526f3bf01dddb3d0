/* A connection to a server: a request goes out, messages come in. */
#ifndef LARDER_CONNECTION_H
#define LARDER_CONNECTION_H

#include "common/codec.h"

struct connection {
  int socket;
  struct buffer in;
  size_t taken; /* bytes of the message that was given last */
  uint32_t next_id;
};

bool connection_open(struct connection *c, const char *host, const char *port, int64_t patience, struct buffer *problem);
void connection_close(struct connection *c);
/* Sends a request, whose id is chosen here. */
bool connection_send(struct connection *c, struct message *request, struct buffer *problem);
/* Waits for the next message, which is there until the one after it; patience below zero waits for ever. */
bool connection_receive(struct connection *c, struct message *m, int64_t patience, struct buffer *problem);

#endif
