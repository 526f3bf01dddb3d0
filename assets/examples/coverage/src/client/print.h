/* Answers as text for people or as JSON for programs. No I/O: the text goes to a buffer. */
#ifndef LARDER_PRINT_H
#define LARDER_PRINT_H

#include "common/codec.h"

void print_answer(struct buffer *out, uint8_t operation, const struct message *answer, bool json);
void print_event(struct buffer *out, const struct message *event, bool json);
void print_json_string(struct buffer *out, struct slice text);

#endif
