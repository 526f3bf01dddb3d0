/* Patterns for keys: `*' is any bytes, `?' one, `[a-z]' one of a set, `[!a-z]' one of the others, `\x' is x. */
#ifndef LARDER_GLOB_H
#define LARDER_GLOB_H

#include <stdbool.h>

#include "common/buffer.h"

bool glob_matches(struct slice pattern, struct slice text);
/* Whether every bracket is closed and nothing ends in a backslash. */
bool glob_is_sound(struct slice pattern);

#endif
