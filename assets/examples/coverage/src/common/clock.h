/* Time in milliseconds: of the wall, and one that never jumps. */
#ifndef LARDER_CLOCK_H
#define LARDER_CLOCK_H

#include <stdint.h>

int64_t clock_wall(void);
int64_t clock_steady(void);

#endif
