/* larder: the client's program. */
#include <stdio.h>
#include <string.h>

#include "client/connection.h"
#include "client/print.h"
#include "client/words.h"

enum exit_status { DONE, REFUSED, WRONG_WORDS, NO_SERVER, NOT_FOUND };

static int complain(enum exit_status status, const struct buffer *problem) {
  fprintf(stderr, "larder: %.*s\n", (int)buffer_size(problem), buffer_content(problem).data);
  return status;
}

static void read_input(struct buffer *input) {
  size_t got;
  do {
    got = fread(buffer_reserve(input, 4096), 1, 4096, stdin);
    buffer_wrote(input, got);
  } while (got > 0);
}

static void show(struct buffer *text) {
  if (buffer_size(text) > 0) fwrite(buffer_content(text).data, 1, buffer_size(text), stdout);
  fflush(stdout);
  buffer_clear(text);
}

static int watch(struct connection *c, const struct options *options, struct buffer *text, struct buffer *problem) {
  for (int64_t seen = 0; options->events == 0 || seen < options->events; seen++) {
    struct message event;
    if (!connection_receive(c, &event, options->events == 0 ? -1 : options->patience, problem)) return complain(NO_SERVER, problem);
    if (!options->quiet) print_event(text, &event, options->json);
    show(text);
  }
  return DONE;
}

static int ask(struct connection *c, const struct options *options, struct message *request, struct buffer *problem) {
  struct message answer;
  struct buffer text;
  int status = DONE;
  buffer_init(&text);
  if (!connection_send(c, request, problem) || !connection_receive(c, &answer, options->patience, problem)) {
    return complain(NO_SERVER, problem);
  }
  if (!options->quiet || options->json) print_answer(&text, request->kind, &answer, options->json);
  show(&text);
  if (answer.kind != STATUS_OK) {
    status = answer.kind == STATUS_NOT_FOUND ? NOT_FOUND : REFUSED;
    buffer_add_text(problem, status_text(answer.kind));
    complain((enum exit_status)status, problem);
  } else if (request->kind == OP_WATCH) {
    status = watch(c, options, &text, problem);
  }
  buffer_free(&text);
  return status;
}

int main(int argc, char **argv) {
  struct options options;
  struct message request;
  struct connection connection;
  struct buffer problem, input;
  bool value_from_input;
  int used, status;
  options_init(&options);
  buffer_init(&problem);
  buffer_init(&input);
  if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
    fputs(usage_text(), stdout);
    return DONE;
  }
  used = options_parse(&options, argc - 1, argv + 1, &problem);
  if (used < 0 || !request_parse(argc - 1 - used, argv + 1 + used, &request, &value_from_input, &problem)) {
    return complain(WRONG_WORDS, &problem);
  }
  if (value_from_input) {
    read_input(&input);
    request.value = buffer_content(&input);
  }
  if (!connection_open(&connection, options.host, options.port, options.patience, &problem)) return complain(NO_SERVER, &problem);
  status = ask(&connection, &options, &request, &problem);
  connection_close(&connection);
  buffer_free(&input);
  buffer_free(&problem);
  return status;
}
