"""Signals without what `signal` puts on top of them: its enums take 5 ms of an agent's start.

`_signal` is what `signal` is made of.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import (
        SIG_BLOCK,
        SIG_DFL,
        SIG_IGN,
        SIG_SETMASK,
        SIGALRM,
        SIGCHLD,
        SIGHUP,
        SIGINT,
        SIGKILL,
        SIGPIPE,
        SIGTERM,
        SIGUSR1,
        SIGUSR2,
        alarm,
        getsignal,
        pthread_sigmask,
        set_wakeup_fd,
        signal,
        sigpending,
    )
else:
    from _signal import (
        SIG_BLOCK,
        SIG_DFL,
        SIG_IGN,
        SIG_SETMASK,
        SIGALRM,
        SIGCHLD,
        SIGHUP,
        SIGINT,
        SIGKILL,
        SIGPIPE,
        SIGTERM,
        SIGUSR1,
        SIGUSR2,
        alarm,
        getsignal,
        pthread_sigmask,
        set_wakeup_fd,
        signal,
        sigpending,
    )

__all__ = [
    "SIGALRM",
    "SIGCHLD",
    "SIGHUP",
    "SIGINT",
    "SIGKILL",
    "SIGPIPE",
    "SIGTERM",
    "SIGUSR1",
    "SIGUSR2",
    "SIG_BLOCK",
    "SIG_DFL",
    "SIG_IGN",
    "SIG_SETMASK",
    "alarm",
    "getsignal",
    "pthread_sigmask",
    "set_wakeup_fd",
    "signal",
    "sigpending",
]
