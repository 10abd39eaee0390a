/* Included by every source of PyInstaller's start-up program: the one file's parent, which waits for its child and
   hands signals on to it. Where its own parent ignores SIGCHLD the kernel keeps no exit status, and it would end with
   1; a signal that was blocked would reach neither of them. */
#include <signal.h>

static void __attribute__((constructor)) escp_see_children(void) {
    sigset_t none;
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
}
