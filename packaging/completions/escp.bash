# Completion of escp(1) for bash with bash-completion 2, made by packaging/completions.py.

# What is in a directory of another host, whose path stands behind the colon of $cur: the host is asked by ssh, which must
# need no password (a key, or ControlMaster in its configuration). Arguments: what ssh needs to reach it.
_escp_remote()
{
    local host=${cur%%%%:*} path=${cur#*:} typed folder='' name
    [[ $cur == \[*\]:* ]] && host=${cur%%%%\]:*} path=${cur#*\]:} && host=${host//\[/}
    [[ $host == *[!a-zA-Z0-9@._:%%-]* || $host == -* ]] && return
    [[ $path == */* ]] && folder=${path%%/*}/
    typed=${path#"$folder"}
    # What the shell would take away from the word, and then escp, which takes *, ? and [ for patterns.
    local plain=$folder
    for name in shell escp; do
        plain=$(printf %%s "$plain" | command sed 's/\\\(.\)/\1/g')
        typed=$(printf %%s "$typed" | command sed 's/\\\(.\)/\1/g')
    done
    local home=''
    [[ $plain =~ ^~[a-zA-Z0-9._-]*/ ]] && home=${BASH_REMATCH[0]} plain=./${plain#"${BASH_REMATCH[0]}"}
    local quoted=\'${plain//\'/\'\\\'\'}\'
    COMPREPLY=()
    while IFS= read -r name; do # by no expansion of bash's: to it their names are patterns of files here
        [[ $name == "$typed"* && (-n $typed || $name != .*) ]] || continue
        local end=' '
        [[ $name == */ ]] && end='' && name=${name%%/}/
        name=$(printf %%s "$name" | command sed 's/[][\\*?]/\\&/g')
        printf -v name %%q "$name"
        COMPREPLY+=("${cur%%"${path}"}$folder$name$end")
    done < <(command ssh -o BatchMode=yes -o ConnectTimeout=5 "$@" -- "$host" \
        "ls -1ALp -- $home${plain:+$quoted}" 2>/dev/null </dev/null)
    compopt +o filenames -o nospace
    __ltrim_colon_completions "$cur"
}

_escp()
{
    local cur prev words cword split=false
    _init_completion -s -n : || return

    case $prev in
%(values)s
        %(valued)s)
            return # a value that nobody but the user knows
            ;;
    esac
    $split && return

    # As with scp, options stand before the first operand.
    local i has_operand= reach=()
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
            --)
                has_operand=1
                break
                ;;
            %(valued)s)
                case ${words[i]} in
                    -P | --ssh-port) reach+=(-p "${words[i + 1]}") ;;
                    -F | --ssh-config) reach+=(-F "${words[i + 1]/#\~\//$HOME/}") ;;
                    -i | --identity) reach+=(-i "${words[i + 1]/#\~\//$HOME/}") ;;
                    -J | --jump) reach+=(-J "${words[i + 1]}") ;;
                    -o | --ssh-option) reach+=(-o "${words[i + 1]}") ;;
                esac
                ((++i))
                ;;
            -[46]) reach+=("${words[i]}") ;;
            -?*) ;;
            *)
                has_operand=1
                break
                ;;
        esac
    done
    if [[ $cur == -* && -z $has_operand ]]; then
        COMPREPLY=($(compgen -W '%(options)s' -- "$cur"))
        return
    fi

    case $cur in
        scp://* | tls://*) # no host is called scp, and those of tls:// can't be asked by ssh
            return
            ;;
        [^:]*([^:/]):*)
            _escp_remote "${reach[@]}"
            return
            ;;
        */*) ;;
        ?*)
            local configfile=
            declare -F _ssh_configfile >/dev/null && _ssh_configfile
            _known_hosts_real -c -a ${configfile:+-F "$configfile"} -- "$cur"
            ;;
    esac
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        _filedir
        return
    fi
    # Hosts and files at once: readline would put a backslash before the colons, so that files are quoted here.
    local name hosts=("${COMPREPLY[@]}")
    COMPREPLY=()
    _filedir
    compopt +o filenames -o nospace
    for i in "${!COMPREPLY[@]}"; do
        printf -v name %%q "${COMPREPLY[i]}"
        [[ -d ${COMPREPLY[i]} ]] && COMPREPLY[i]=$name/ || COMPREPLY[i]="$name "
    done
    COMPREPLY+=("${hosts[@]}")
} &&
    complete -F _escp escp
