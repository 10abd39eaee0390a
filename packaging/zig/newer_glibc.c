/* Functions that Debian's static libraries call and that the oldest glibc we build for does not have. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>

/* libffi; glibc 2.27 */
__attribute__((visibility("hidden"))) int memfd_create(const char *name, unsigned flags) {
    return (int)syscall(SYS_memfd_create, name, flags);
}
