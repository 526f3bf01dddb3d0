/* The server: one thread, one epoll, many clients. */
#ifndef LARDER_SERVER_H
#define LARDER_SERVER_H

#include "server/commands.h"
#include "server/settings.h"

struct client;

struct server {
  struct commands commands;
  int epoll, listener, signals;
  struct client *clients;
  struct buffer scratch;
  int64_t most_clients, idle;
  bool stopping;
};

/* Listens; what is wrong is told in `problem'. */
bool server_start(struct server *s, const struct settings *settings, struct buffer *problem);
/* Serves until a signal ends it. */
void server_run(struct server *s);
void server_stop(struct server *s);

#endif
