# Completion of escp(1) for bash with bash-completion 2, made by packaging/completions.py.

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
    local i has_operand=
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
            --)
                has_operand=1
                break
                ;;
            %(valued)s)
                ((++i))
                ;;
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
        */*) ;;
        *:*)
            return # a path on another host
            ;;
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
