#include <stdio.h>

#include "tests/test.h"

int test_failures, test_checks;

bool test_check(bool holds, const char *what, const char *file, int line) {
  test_checks++;
  if (!holds) {
    test_failures++;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  }
  return holds;
}

int main(void) {
  test_common();
  test_codec();
  test_store();
  printf("%d of %d checks hold\n", test_checks - test_failures, test_checks);
  return test_failures > 0;
}
