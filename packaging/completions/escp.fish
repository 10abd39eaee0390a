# Completion of escp(1) for fish, made by packaging/completions.py.

# What is in a directory of another host, whose path stands behind the colon. The host is asked by ssh, which must need no
# password (a key, or ControlMaster in its configuration).
function __escp_remote_paths
    set -l word (commandline -ct | string unescape)
    string match -qr '^(scp|tls)://' -- $word; and return # no host is called scp, and those of tls:// can't be asked by ssh
    set -l parts (string match -r '^(\[[^]]*\]|[^:/]+):(.*)$' -- $word)
    test (count $parts) -eq 3; or return
    set -l host (string trim -c '[]' -- $parts[2])
    string match -qr '^[a-zA-Z0-9_][a-zA-Z0-9@._:%%-]*$' -- $host; or return
    set -l folder (string match -r '^.*/' -- $parts[3])
    set -l typed (string sub -s (math 1 + (string length -- "$folder")) -- $parts[3])
    set -l plain (string replace -ra '\\\\(.)' '$1' -- "$folder") # escp takes *, ? and [ for patterns
    set -l home (string match -r '^~[a-zA-Z0-9._-]*/' -- "$plain")
    set -l quoted
    if test -n "$home"
        set quoted $home"'./"(string replace -- $home '' $plain | string replace -a "'" "'\\''")"'"
    else if test -n "$plain"
        set quoted "'"(string replace -a "'" "'\\''" -- $plain)"'"
    end
    set -l reach
    set -l words (commandline -opc)
    for i in (seq 2 (count $words))
        switch $words[$i]
            case -P --ssh-port
                set -a reach -p $words[(math $i + 1)]
            case -F --ssh-config -i --identity -J --jump -o --ssh-option
                set -l letter (string replace -- --ssh-config -F $words[$i] | string replace -- --identity -i | string replace -- --jump -J | string replace -- --ssh-option -o)
                set -a reach $letter (string replace -r '^~/' $HOME/ -- $words[(math $i + 1)])
            case -4 -6
                set -a reach $words[$i]
        end
    end
    for name in (command ssh -o BatchMode=yes -o ConnectTimeout=5 $reach -- $host "ls -1ALp -- $quoted" 2>/dev/null </dev/null)
        string match -q -- '.*' $name; and not string match -q -- '.*' $typed; and continue
        printf '%%s:%%s%%s\n' $parts[2] "$folder" (string replace -ra '[][\\\\*?]' '\\\\$0' -- $name)
    end
end

function __escp_is_remote
    string match -qr '^(\[[^]]*\]|[^:/]+):' -- (commandline -ct | string unescape)
end

%(options)s
complete -c escp -n 'not string match -qr "[:/]" -- (commandline -ct)' -a '(__fish_complete_user_at_hosts):' -d Host
complete -c escp -n __escp_is_remote -f -a '(__escp_remote_paths)' # and no files of this host
