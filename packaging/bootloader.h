/* Included by every source of PyInstaller's start-up program. The one file's parent waits for its child's exit
   status; where its own parent ignores SIGCHLD the kernel keeps none, and it would end with 1. */
#include <signal.h>

static void __attribute__((constructor)) escp_see_children(void) { signal(SIGCHLD, SIG_DFL); }
