#include "common/clock.h"

#include <time.h>

static int64_t milliseconds(clockid_t which) {
  struct timespec now;
  clock_gettime(which, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_wall(void) { return milliseconds(CLOCK_REALTIME); }

int64_t clock_steady(void) { return milliseconds(CLOCK_MONOTONIC); }
