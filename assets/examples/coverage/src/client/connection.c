#include "client/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

enum { PIECE = 16 << 10 };

/* Waits until a socket is ready; false when it took too long. */
static bool wait_for(int socket, short what, int64_t deadline) {
  struct pollfd entry = {.fd = socket, .events = what};
  for (;;) {
    int64_t left = deadline < 0 ? -1 : deadline - clock_steady();
    int ready;
    if (deadline >= 0 && left < 0) left = 0;
    ready = poll(&entry, 1, (int)left);
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

static int connect_to(const struct addrinfo *address, int64_t deadline) {
  int error = 0, result = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  socklen_t size = sizeof error;
  if (result < 0) return -1;
  if (connect(result, address->ai_addr, address->ai_addrlen) == 0) return result;
  if (errno == EINPROGRESS) {
    if (!wait_for(result, POLLOUT, deadline)) {
      error = ETIMEDOUT;
    } else {
      getsockopt(result, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == 0) return result;
    errno = error;
  }
  error = errno;
  close(result);
  errno = error;
  return -1;
}

bool connection_open(struct connection *c, const char *host, const char *port, int64_t patience, struct buffer *problem) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
  int64_t deadline = clock_steady() + patience;
  int error = getaddrinfo(host, port, &hints, &found);
  memset(c, 0, sizeof *c);
  c->socket = -1;
  if (error != 0) {
    buffer_printf(problem, "%s: %s", host, gai_strerror(error));
    return false;
  }
  for (const struct addrinfo *a = found; a && c->socket < 0; a = a->ai_next) c->socket = connect_to(a, deadline);
  freeaddrinfo(found);
  if (c->socket < 0) buffer_printf(problem, "%s port %s: %s", host, port, strerror(errno));
  return c->socket >= 0;
}

void connection_close(struct connection *c) {
  if (c->socket >= 0) close(c->socket);
  c->socket = -1;
  buffer_free(&c->in);
}

bool connection_send(struct connection *c, struct message *request, struct buffer *problem) {
  struct buffer out;
  bool good = true;
  request->id = ++c->next_id;
  buffer_init(&out);
  message_encode(&out, request);
  while (good && buffer_size(&out) > 0) {
    struct slice content = buffer_content(&out);
    ssize_t sent = send(c->socket, content.data, content.size, MSG_NOSIGNAL);
    if (sent >= 0) {
      buffer_consume(&out, (size_t)sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      good = wait_for(c->socket, POLLOUT, -1);
    } else if (errno != EINTR) {
      good = false;
    }
  }
  if (!good) buffer_printf(problem, "the request was not sent: %s", strerror(errno));
  buffer_free(&out);
  return good;
}

bool connection_receive(struct connection *c, struct message *m, int64_t patience, struct buffer *problem) {
  int64_t deadline = patience < 0 ? -1 : clock_steady() + patience;
  buffer_consume(&c->in, c->taken);
  c->taken = 0;
  for (;;) {
    const char *why = NULL;
    ssize_t got;
    enum decoded decoded = message_decode(buffer_content(&c->in), m, &c->taken, &why);
    if (decoded == DECODED) return true;
    if (decoded == DECODE_BROKEN) {
      buffer_printf(problem, "the server sends nonsense: %s", why);
      return false;
    }
    if (!wait_for(c->socket, POLLIN, deadline)) {
      buffer_add_text(problem, "the server does not answer");
      return false;
    }
    got = recv(c->socket, buffer_reserve(&c->in, PIECE), PIECE, 0);
    if (got > 0) {
      buffer_wrote(&c->in, (size_t)got);
    } else if (got == 0) {
      buffer_add_text(problem, "the server has ended the connection");
      return false;
    } else if (errno != EINTR && errno != EAGAIN) {
      buffer_printf(problem, "the connection broke: %s", strerror(errno));
      return false;
    }
  }
}
