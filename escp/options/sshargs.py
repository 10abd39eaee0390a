"""ssh's arguments, from the options that are about the login."""

from escp.lean.untranslated import argparse

# As scp has them: nothing of the user's ssh_config may run, forward, or send other bytes through the channel.
# They come first because the first value of an option is the one that ssh takes.
SSH_SAFETY_ARGS = (
    "-x",
    "-oPermitLocalCommand=no",
    "-oClearAllForwardings=yes",
    "-oRemoteCommand=none",
    "-oRequestTTY=no",
)


def build_ssh_args(args: argparse.Namespace) -> tuple[str, ...]:
    """ssh's arguments in front of `-p port -- destination command`: ours, the user's, ForwardAgent=no.

    That one is last, as with scp, so that an explicit `-o ForwardAgent=yes` counts but ssh_config does not.
    """
    words = list(SSH_SAFETY_ARGS)
    if args.ip_version is not None:
        words.append(f"-{args.ip_version}")
    if args.is_quiet:
        words.append("-q")
    words += ["-v"] * (args.verbosity - 1)
    for letter, value in (("-F", args.ssh_config), ("-J", args.jump), ("-c", args.cipher)):
        if value is not None:
            words += [letter, value]
    for identity in args.identities:
        words += ["-i", identity]
    if args.batch:
        words.append("-oBatchMode=yes")
    for option in args.ssh_options:
        words += ["-o", option]
    words.append("-A" if args.forwards_agent else "-oForwardAgent=no")
    return tuple(words)
