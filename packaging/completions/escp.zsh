#compdef escp
# Completion of escp(1) for zsh, made by packaging/completions.py.

_escp_operands() {
  # No host is called scp, and those of tls:// can't be asked by ssh.
  [[ $PREFIX == (scp|tls)://* ]] && return 1
  if compset -P 1 '(\[[^]]#\]|[^./:][^/:]#):'; then
    # The host is asked by ssh, which must need no password (a key, or ControlMaster in its configuration).
    local reach=(${(kv)opt_args[(I)-[FP46]]/-P/-p})
    _remote_files -h ${${${IPREFIX%%:}#\[}%%\]} -- ssh $reach
  else
    _alternative 'files:file:_files' 'hosts:remote host:_escp_hosts'
  fi
}

_escp_hosts() {
  compset -P '*@'
  _ssh_hosts "$@" -S :
}

# As with scp, options stand before the first operand.
_arguments -s -S -A '-*' : \
%(options)s
  '*:file or host:_escp_operands'
