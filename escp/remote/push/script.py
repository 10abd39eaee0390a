"""What the remote host runs for `--push-agent` and `--clean-agents`: POSIX sh, constant but for digits.

`find_command` is the one word that ssh hands to whatever shell the user has there. sh, csh and fish read it
alike: single quotes around all, and inside none, no newline, no exclamation mark, no backslash before another
or a quote. What it can't do itself comes through its standard input and is only run if it is whole.

Both sides speak in lines like the agent's marker, "\\n\\x1eESCP agent WORD TEXT\\x1e\\n":

    found SYSTEM       the tree is there; the agent's own marker is next; SYSTEM is what `uname -sm` prints
    missing SYSTEM     it is not: `install_script` is wanted
    send               the host will do: the archive's size in decimal, a newline, and the archive are wanted
    refused WHY TEXT   it will not; TEXT is a tool's or the system's, and may be empty

`--clean-agents`: a word, size and identity for each tree (`clean.ACTIONS`), then `done`; or `foreign PATH`.
"""

import re

# `c` the cache, `d` ours in it, `t` the tree, `e` the program. Usable is what nobody else could have made.
_FIND = """\
case ${XDG_CACHE_HOME-} in /*) c=$XDG_CACHE_HOME;; *) c=${HOME:-.}/.cache;; esac; \
d=$c/escp; t=$d/IDENTITY; e=$t/bin/escp; \
safe() { [ -O "$1" ] && [ -z "$(find "$1/." -prune "(" -perm -020 -o -perm -002 ")" 2>&1)" ]; }; \
usable() { [ -x "$e" ] && [ -O "$e" ] && [ -O "$t" ] && safe "$d"; }; \
say() { printf "\\n\\036ESCP agent %s\\036\\n" "$*"; }; """

_START = """\
o=$(uname -sm); if usable; then say found "$o"; exec "$e" --server; fi; say missing "$o"; """

_START_EITHER = """\
if command -v escp >/dev/null 2>&1; then exec escp --server; fi; if usable; then exec "$e" --server; fi; \
exec escp --server"""

_READ_SCRIPT = """\
s=$(head -c LENGTH) && [ ${#s} -eq LENGTH ] && eval "$s\""""

# No tool's message may be in another language: LC_ALL=C before each, because the agent keeps the user's.
# `mv` into the parent under the final name can't go into a tree that is there, as `mv a b` would: rename(2)
# refuses a directory that is not empty, and so the loser of two uses the winner's.
_INSTALL = r"""
tmp= umask=$(umask) home=$PWD
clean() { cd "$home"; [ -z "$tmp" ] || rm -rf "$tmp"; tmp=; }
refuse() {
  why=$1; shift
  say refused "$why" "$(printf %s "$*" | tr '\n\t\036' '   ' | cut -c 1-500)"
  exit 1
}
trap clean EXIT
trap 'exit 1' HUP INT TERM PIPE
umask 077
lacking=
for tool in cat chmod cut find gzip head ln mkdir mktemp mv rm sha256sum tar tr wc; do
  command -v "$tool" >/dev/null 2>&1 || lacking="$lacking $tool"
done
[ -z "$lacking" ] || refuse tools $lacking
case $c in /*) ;; *) refuse home "$c" ;; esac
said=$(LC_ALL=C mkdir -p "$d" 2>&1) || refuse write "$said"
safe "$d" || refuse unsafe "$d"
said=$(LC_ALL=C mktemp -d "$d/.IDENTITY.XXXXXX" 2>&1) || refuse write "$said"
tmp=$said
said=$(printf '#!/bin/sh\nexit 42\n' | LC_ALL=C cat 2>&1 > "$tmp/try") || refuse write "$said"
chmod 700 "$tmp/try"
"$tmp/try" 2>/dev/null
[ $? -eq 42 ] || refuse noexec "$d"
rm "$tmp/try"
new=$tmp/IDENTITY
said=$(LC_ALL=C mkdir "$new" 2>&1) && cd "$new" || refuse write "$said"
say send
IFS= read -r size
case $size in ''|*[!0-9]*) exit 1 ;; esac
said=$( { head -c "$size" | LC_ALL=C gzip -dc | LC_ALL=C tar -xmof - ; } 2>&1) || refuse write "$said"
[ "$(sha256sum < lib/escp/MANIFEST)" = "IDENTITY  -" ] && sha256sum -c lib/escp/MANIFEST >/dev/null 2>&1 &&
  [ $(find . -type f | wc -l) -eq $(($(wc -l < lib/escp/MANIFEST) + 1)) ] || refuse damaged
said=$(LC_ALL=C mkdir bin 2>&1 && LC_ALL=C ln -s ../lib/escp/escp bin/escp 2>&1) || refuse write "$said"
said=$(bin/escp --version 2>&1 </dev/null) || refuse start $? "$said"
cd "$home"
if ! mv -f "$new" "$d/" 2>/dev/null && ! usable; then
  [ -L "$t" ] || mv -f "$t" "$tmp/old" 2>/dev/null
  said=$(LC_ALL=C mv -f "$new" "$d/" 2>&1) || usable || refuse write "$said"
fi
clean
trap - EXIT HUP INT TERM PIPE
umask "$umask"
exec "$e" --server
"""

# One line for each tree: what was done, its size in KiB, its name; last `done`. What is removed is renamed
# first: nobody starts half a tree. `ls -l` follows nothing, and shows of other users' processes nothing.
_CLEAN = r"""
say() { printf '\n\036ESCP agent %s\036\n' "$*"; }
remove() {
  old=$(mktemp -d "./.$1.XXXXXX") && mv -f "./$1" "$old/" && rm -rf "$old"
}
is_intact() (
  cd "./$1" && [ "$(sha256sum < lib/escp/MANIFEST)" = "$1  -" ] &&
  sha256sum -c lib/escp/MANIFEST >/dev/null 2>&1 && [ -x bin/escp ]
)
unused() { case $running in *"/escp/$1/"*) return 1 ;; esac; }
case ${XDG_CACHE_HOME-} in /*) c=$XDG_CACHE_HOME ;; *) c=${HOME:-.}/.cache ;; esac
umask 077
[ -d "$c/escp" ] || { say done; exit; }
cd "$c/escp" || exit
[ -O . ] || { say foreign "$c/escp"; exit; }
running=$(LC_ALL=C ls -l /proc/[0-9]*/exe 2>/dev/null)
for name in * .[0-9a-f]*; do
  id=${name#.} id=${id%.??????}
  case $id in *[!0-9a-f]*) continue ;; esac
  [ ${#id} -eq 64 ] && [ -O "$name" ] || continue
  [ -L "$name" ] && { say link 0 "$id"; continue; }
  [ -d "$name" ] || continue
  size=$(du -sk "./$name" | cut -f 1)
  case $name in
    .*) [ "$(find "./$name" -prune -mtime +0)" ] || { say unfinished "$size" "$id"; continue; }
        rm -rf "./$name" && say removed "$size" "$id" || say failed "$size" "$id"
        continue ;;
    *.*) continue ;;
  esac
  if ! unused "$id"; then say used "$size" "$id"
  elif [ "$id" = "IDENTITY" ] && is_intact "$id"; then say kept "$size" "$id"
  elif remove "$id" 2>/dev/null; then
    if [ "$id" = "IDENTITY" ]; then say damaged "$size" "$id"; else say removed "$size" "$id"; fi
  else say failed "$size" "$id"
  fi
done
say done
"""


def answer_pattern(words: bytes) -> re.Pattern[bytes]:
    """Such a line with one of *words*, a regular expression; its groups are the word and the text."""
    return re.compile(rb"\n\x1eESCP agent (%b)(?: ([^\x1e\n]{0,1500}))?\x1e\n" % words)


def find_command(identity: str) -> str:
    """For ssh: start the tree *identity*, or say that it is missing and run `install_script`."""
    text = (_FIND + _START + _READ_SCRIPT).replace("LENGTH", str(len(install_script(identity))))
    return _for_any_shell(text.replace("IDENTITY", identity))


def find_either_command(identity: str) -> str:
    """For ssh: start the escp that is installed, or else the tree *identity*, if it is there."""
    return _for_any_shell((_FIND + _START_EITHER).replace("IDENTITY", identity))


def install_script(identity: str) -> bytes:
    """Takes the archive of the tree *identity*, puts it in its place and starts it."""
    return _INSTALL.strip().replace("IDENTITY", identity).encode()


def clean_command(identity: str) -> str:
    """For ssh: run `clean_script`."""
    return _for_any_shell(_READ_SCRIPT.replace("LENGTH", str(len(clean_script(identity)))))


def clean_script(identity: str) -> bytes:
    """Removes all trees but *identity* ("": all), and what an installation left behind a day ago."""
    return _CLEAN.strip().replace("IDENTITY", identity).encode()


def _for_any_shell(text: str) -> str:
    assert not any(char in text for char in "'!\n")
    return f"exec /bin/sh -c '{text}'"
