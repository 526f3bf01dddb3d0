/* Unit tests: a function a subject, checks by value, failures with their place. */
#ifndef LARDER_TEST_H
#define LARDER_TEST_H

#include <stdbool.h>

extern int test_failures, test_checks;

bool test_check(bool holds, const char *what, const char *file, int line);

#define CHECK(condition) test_check((condition), #condition, __FILE__, __LINE__)

void test_common(void);
void test_codec(void);
void test_store(void);

#endif
