/* Linked into every instrumented program and library: keeps its counters where the machine collects them, and writes
 * them when it is asked to, so that a daemon need not end for its coverage to be known.
 *
 * A thread waits for the signal's handler, since writing counters allocates memory and takes locks, which a handler
 * may not. The thread's name, "gcov-dump N", tells how often they were written.
 *
 * It does nothing where there is no directory for counters: a build's own tests, a machine without coverage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DIRECTORY "/var/lib/coverage"
#define ASK (SIGRTMAX - 2)

extern void __gcov_dump(void);
extern void __gcov_reset(void);

static sem_t asked;
static struct sigaction before;
static uid_t prepared_for;
static int own_directory;

/* Users may not write into each other's files, so each has a directory of their own. */
static void prepare(void) {
  char directory[64];
  if (!own_directory || prepared_for == geteuid()) return;
  prepared_for = geteuid();
  snprintf(directory, sizeof directory, DIRECTORY "/u%lu", (unsigned long)prepared_for);
  setenv("GCOV_PREFIX", directory, 1);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  int saved = errno;
  sem_post(&asked);
  /* Another instrumented part of the same process waits for the same signal. */
  if (before.sa_flags & SA_SIGINFO) {
    if (before.sa_sigaction) before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  }
  errno = saved;
}

static void *wait_and_write(void *unused) {
  unsigned written = 0;
  (void)unused;
  for (;;) {
    char name[16];
    snprintf(name, sizeof name, "gcov-dump %u", written % 10000);
    prctl(PR_SET_NAME, name);
    while (sem_wait(&asked) != 0) continue;
    prepare();
    __gcov_dump();
    /* Without it the counters would not be written again. They are added up in the file. */
    __gcov_reset();
    written++;
  }
  return NULL;
}

static void start(void) {
  sigset_t all, old;
  pthread_attr_t attributes;
  pthread_t thread;
  sem_init(&asked, 0, 0);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  /* Without the thread the counters are still written at the program's end. */
  pthread_create(&thread, &attributes, wait_and_write, NULL);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

__attribute__((constructor)) static void begin(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigset_t ask;
  if (access(DIRECTORY, X_OK) != 0) return;
  own_directory = getenv("GCOV_PREFIX") == NULL;
  prepared_for = (uid_t)-1;
  prepare();
  start();
  /* A child has no threads but the one that forked. */
  pthread_atfork(NULL, NULL, start);
  sigemptyset(&action.sa_mask);
  sigaction(ASK, &action, &before);
  sigemptyset(&ask);
  sigaddset(&ask, ASK);
  pthread_sigmask(SIG_UNBLOCK, &ask, NULL);
}

/* Runs before the counters are written at the end; the user may have changed since. */
__attribute__((destructor)) static void end(void) { prepare(); }
