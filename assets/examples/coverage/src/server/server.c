#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/glob.h"
#include "common/log.h"

enum { EVENTS = 64, PIECE = 16 << 10, WATCHES_MAX = 16, OUTPUT_MAX = 4 << 20, LOOK_EVERY = 5000 };

struct client {
  struct client *next, *previous;
  int socket;
  struct buffer in, out;
  char *watches[WATCHES_MAX];
  int watch_count;
  int64_t heard; /* when it last said something */
  bool gone, writing;
  char name[64];
};

static void set_interest(struct server *s, struct client *c) {
  bool writing = buffer_size(&c->out) > 0;
  struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
  if (writing == c->writing) return;
  c->writing = writing;
  epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->socket, &event);
}

static void add_client(struct server *s, int socket, const struct sockaddr *address, socklen_t size) {
  struct client *c = calloc(1, sizeof *c);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  int yes = 1;
  char host[46] = "?", port[8] = "?";
  if (!c) out_of_memory();
  getnameinfo(address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  snprintf(c->name, sizeof c->name, "%s:%s", host, port);
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  c->socket = socket;
  c->heard = clock_steady();
  c->next = s->clients;
  if (s->clients) s->clients->previous = c;
  s->clients = c;
  epoll_ctl(s->epoll, EPOLL_CTL_ADD, socket, &event);
  s->commands.statistics.connections++;
  s->commands.statistics.clients++;
  log_debug("%s: connected", c->name);
}

static void free_client(struct server *s, struct client *c) {
  if (c->previous) {
    c->previous->next = c->next;
  } else {
    s->clients = c->next;
  }
  if (c->next) c->next->previous = c->previous;
  close(c->socket);
  buffer_free(&c->in);
  buffer_free(&c->out);
  for (int i = 0; i < c->watch_count; i++) free(c->watches[i]);
  s->commands.statistics.clients--;
  log_debug("%s: gone", c->name);
  free(c);
}

static void accept_clients(struct server *s) {
  for (;;) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int socket = accept4(s->listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) log_error("accept: %s", strerror(errno));
      return;
    }
    if ((int64_t)s->commands.statistics.clients >= s->most_clients) {
      log_warning("there are %" PRId64 " clients; another one is turned away", s->most_clients);
      close(socket);
      continue;
    }
    add_client(s, socket, (struct sockaddr *)&address, size);
  }
}

static void send_out(struct server *s, struct client *c) {
  while (buffer_size(&c->out) > 0) {
    struct slice content = buffer_content(&c->out);
    ssize_t sent = send(c->socket, content.data, content.size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK) c->gone = true;
      break;
    }
    buffer_consume(&c->out, (size_t)sent);
  }
  if (!c->gone) set_interest(s, c);
}

static void answer(struct server *s, struct client *c, const struct message *m) {
  if (buffer_size(&c->out) > OUTPUT_MAX) {
    log_warning("%s: does not read its answers and is let go", c->name);
    c->gone = true;
    return;
  }
  message_encode(&c->out, m);
  send_out(s, c);
}

static void watch(struct client *c, struct slice pattern) {
  if (c->watch_count < WATCHES_MAX) c->watches[c->watch_count++] = slice_copy(pattern);
}

/* Tells whoever watches a key that it has changed. */
static void announce(struct server *s, struct slice key, const char *what) {
  struct message event = {.kind = STATUS_EVENT, .key = key, .value = slice_of(what)};
  for (struct client *c = s->clients; c; c = c->next) {
    for (int i = 0; i < c->watch_count && !c->gone; i++) {
      if (glob_matches(slice_of(c->watches[i]), key)) {
        s->commands.statistics.events++;
        answer(s, c, &event);
        break;
      }
    }
  }
}

static void take_requests(struct server *s, struct client *c) {
  while (!c->gone) {
    struct message request, reply;
    struct outcome outcome;
    size_t used = 0;
    const char *why = NULL;
    enum decoded decoded = message_decode(buffer_content(&c->in), &request, &used, &why);
    if (decoded == DECODE_MORE) return;
    if (decoded == DECODE_BROKEN) {
      log_warning("%s: %s", c->name, why);
      c->gone = true;
      return;
    }
    outcome = commands_run(&s->commands, &request, &reply, &s->scratch, clock_wall());
    if (outcome.watches) watch(c, request.key);
    answer(s, c, &reply);
    if (outcome.changed) announce(s, request.key, operation_name(request.kind));
    buffer_consume(&c->in, used);
  }
}

static void read_client(struct server *s, struct client *c) {
  ssize_t got = recv(c->socket, buffer_reserve(&c->in, PIECE), PIECE, 0);
  if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return;
  if (got <= 0) {
    c->gone = true;
    return;
  }
  c->heard = clock_steady();
  buffer_wrote(&c->in, (size_t)got);
  take_requests(s, c);
}

static void end_items(struct server *s) {
  size_t size = 0;
  char *key;
  while ((key = store_end_one(s->commands.store, clock_wall(), &size)) != NULL) {
    struct slice name = {key, size};
    if (s->commands.journal) journal_delete(s->commands.journal, name);
    announce(s, name, "end");
    free(key);
  }
}

static void let_go(struct server *s) {
  int64_t now = clock_steady();
  for (struct client *c = s->clients, *next; c; c = next) {
    next = c->next;
    if (s->idle > 0 && c->watch_count == 0 && now - c->heard > s->idle) {
      log_info("%s: silent for too long", c->name);
      c->gone = true;
    }
    if (c->gone) free_client(s, c);
  }
}

static void take_signal(struct server *s) {
  struct signalfd_siginfo info;
  while (read(s->signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      log_info("hang-up: the journal is compacted");
      if (s->commands.journal) journal_compact(s->commands.journal, s->commands.store, clock_wall());
    } else {
      log_info("signal %u: the server ends", info.ssi_signo);
      s->stopping = true;
    }
  }
}

static int listen_at(const struct settings *settings, struct buffer *problem) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
  char port[16];
  int yes = 1, listener, error;
  snprintf(port, sizeof port, "%" PRId64, settings->port);
  error = getaddrinfo(settings->address, port, &hints, &found);
  if (error != 0) {
    buffer_printf(problem, "%s: %s", settings->address, gai_strerror(error));
    return -1;
  }
  listener = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener >= 0) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (listener < 0 || bind(listener, found->ai_addr, found->ai_addrlen) != 0 || listen(listener, 128) != 0) {
    buffer_printf(problem, "%s port %s: %s", settings->address, port, strerror(errno));
    if (listener >= 0) close(listener);
    listener = -1;
  }
  freeaddrinfo(found);
  return listener;
}

bool server_start(struct server *s, const struct settings *settings, struct buffer *problem) {
  struct epoll_event event = {.events = EPOLLIN};
  sigset_t signals;
  s->most_clients = settings->clients;
  s->idle = settings->idle;
  s->listener = listen_at(settings, problem);
  if (s->listener < 0) return false;
  buffer_init(&s->scratch);
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  s->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  s->epoll = epoll_create1(EPOLL_CLOEXEC);
  /* The two that are no clients are told apart by where they lead. */
  event.data.ptr = &s->listener;
  epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &event);
  event.data.ptr = &s->signals;
  epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->signals, &event);
  s->commands.statistics.started = clock_wall();
  return true;
}

void server_run(struct server *s) {
  while (!s->stopping) {
    struct epoll_event events[EVENTS];
    int64_t wait = store_next_end(s->commands.store, clock_wall());
    int count;
    if (wait < 0 || wait > LOOK_EVERY) wait = s->idle > 0 || wait >= 0 ? LOOK_EVERY : -1;
    count = epoll_wait(s->epoll, events, EVENTS, (int)wait);
    if (count < 0 && errno != EINTR) {
      log_error("epoll: %s", strerror(errno));
      return;
    }
    for (int i = 0; i < count; i++) {
      struct client *c = events[i].data.ptr;
      if (events[i].data.ptr == &s->listener) {
        accept_clients(s);
      } else if (events[i].data.ptr == &s->signals) {
        take_signal(s);
      } else {
        if (events[i].events & EPOLLOUT) send_out(s, c);
        if (!c->gone && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_client(s, c);
      }
    }
    end_items(s);
    /* Clients go away here alone, so that no event of theirs is left. */
    let_go(s);
  }
}

void server_stop(struct server *s) {
  while (s->clients) free_client(s, s->clients);
  buffer_free(&s->scratch);
  close(s->epoll);
  close(s->signals);
  close(s->listener);
}
