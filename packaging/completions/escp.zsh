#compdef escp
# Completion of escp(1) for zsh, made by packaging/completions.py.

_escp_operands() {
  if [[ -prefix [^/]#: ]]; then
    _message 'path on the remote host'
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
