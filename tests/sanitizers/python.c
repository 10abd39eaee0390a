/* Python, with a sanitizer in it: packaging/sanitize.py links it with ASan and UBSan, or with TSan.

   What the sanitizers are told stands here and not in the environment, so that it reaches every process that is
   this Python, agents that sshd starts too. Each writes what it finds into a file of its own below FINDINGS. */
#include <Python.h>

#define COMMON "log_path=" FINDINGS "/finding:"

/* No leaks: CPython leaves much of what it has to its end, and os._exit leaves the rest. */
const char *__asan_default_options(void) { return COMMON "detect_leaks=0:detect_stack_use_after_return=1"; }
const char *__ubsan_default_options(void) { return COMMON "halt_on_error=1:print_stacktrace=1"; }
/* The exit code stays what it would have been: tests look at it. */
const char *__tsan_default_options(void) {
    return COMMON "suppressions=" SUPPRESSIONS ":history_size=5:second_deadlock_stack=1:exitcode=0";
}

int main(int argc, char **argv) { return Py_BytesMain(argc, argv); }
