/* Included by every source of PyInstaller's start-up program: the one file's parent, which waits for its child and
   hands signals on to it. Where its own parent ignores SIGCHLD the kernel keeps no exit status, and it would end with
   1; a signal that was blocked would reach neither of them.
   Nor does Python start where standard input, output or error is a directory (`escp … < DIR`). Then it is what
   escp makes of one that is closed: reading, or writing, fails. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static void __attribute__((constructor)) escp_replace_directories(void) {
    struct stat info;
    for (int fd = 0; fd <= 2; fd++) {
        if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
            int other = fd == 0 ? open("/dev/null", O_WRONLY) : open("/dev/full", O_RDONLY);
            if (other >= 0) {
                dup2(other, fd);
                close(other);
            }
        }
    }
}

static void __attribute__((constructor)) escp_see_children(void) {
    sigset_t none;
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
}
